//! Completions and man pages are made of the command line as it is.

use std::process::Command;

use crate::folders::Folder;

fn hypercopy(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_hypercopy")).args(arguments).output().expect("it starts");
    (output.status.code().expect("a code"), String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn a_shell_completes_what_the_command_line_knows() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script) = hypercopy(&["completions", shell]);
        assert_eq!(code, 0, "{shell}");
        assert!(["rechunk", "swap-wait", "checksum"].iter().all(|word| script.contains(word)), "{shell}: {script}");
    }
    let (_, script) = hypercopy(&["completions", "bash"]);
    let asked = "COMP_WORDS=(hypercopy re); COMP_CWORD=1; _hypercopy hypercopy re hypercopy; echo ${COMPREPLY[*]}";
    let bash = Command::new("bash").args(["-c", &format!("{script}\n{asked}")]).output().expect("bash starts");
    assert_eq!(String::from_utf8_lossy(&bash.stdout).trim(), "rechunk restore", "{bash:?}");
    assert_eq!(hypercopy(&["completions", "tcsh"]).0, 2);
}

#[test]
fn every_command_has_a_man_page() {
    let folder = Folder::new("manual");
    assert_eq!(hypercopy(&["man", &folder.path("")]).0, 0);
    let page = |name: &str| std::fs::read_to_string(folder.path(name)).expect("a page");
    assert!(page("hypercopy.1").contains("hypercopy\\-rechunk"), "{}", page("hypercopy.1"));
    assert!(page("hypercopy-rechunk.1").contains("\\-\\-swap\\-wait"), "{}", page("hypercopy-rechunk.1"));
    assert_eq!(hypercopy(&["man", "/nowhere/at/all"]).0, 2);
}
