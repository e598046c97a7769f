//! What is documented is what is there.

use std::process::Command;

fn read(path: &str) -> String {
    std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).expect("the document is there")
}

#[test]
fn the_options_are_what_the_help_prints() {
    for command in ["migrate", "dump", "restore", "verify", "import", "rechunk"] {
        let help = Command::new(env!("CARGO_BIN_EXE_hypercopy")).args([command, "-h"]).env_remove("COLUMNS").output();
        let help = String::from_utf8(help.expect("the program starts").stdout).expect("help is text");
        // Trailing blanks do not survive an editor.
        let lines = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        assert!(lines(&read("OPTIONS.md")).contains(lines(&help).trim_end()), "OPTIONS.md should show:\n{help}");
    }
}

#[test]
fn the_code_map_names_every_room() {
    let map = read("ARCHITECTURE.md");
    let rooms = std::fs::read_dir(format!("{}/src", env!("CARGO_MANIFEST_DIR"))).expect("src is there").flatten();
    for room in rooms.map(|entry| entry.file_name().into_string().expect("names are text")) {
        let named = room == "lib.rs"
            || map.contains(&format!("`{room}`"))
            || map.contains(&format!("`{room}/`"))
            || map.contains(&format!("`{room}/hypercopy`"));
        assert!(named, "ARCHITECTURE.md should name {room} in its code map");
    }
}
