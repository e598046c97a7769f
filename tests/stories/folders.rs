//! Files and directories of one story, removed with it.

use std::path::{Path, PathBuf};

/// A file of one story, removed with it.
pub struct File(PathBuf);

impl File {
    /// A name for it; nothing is there yet.
    pub fn new(name: &str) -> File {
        File(std::env::temp_dir().join(format!("hypercopy-stories-{}-{name}.json", std::process::id())))
    }

    /// A file of this name with these contents.
    pub fn with(name: &str, contents: impl AsRef<[u8]>) -> File {
        let file = File(std::env::temp_dir().join(format!("hypercopy-stories-{}-{name}", std::process::id())));
        file.write(contents);
        file
    }

    /// Puts these contents in the place of those that it has.
    pub fn write(&self, contents: impl AsRef<[u8]>) {
        std::fs::write(&self.0, contents).expect("the file can be written");
    }

    /// Where it is.
    pub fn path(&self) -> &str {
        self.0.to_str().expect("the path is text")
    }

    /// What was written to it.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(&self.0).expect("the report is there"))
            .expect("the report is JSON")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A directory of one story, removed with it.
pub struct Folder(PathBuf);

impl Folder {
    /// A new one.
    pub fn new(name: &str) -> Folder {
        Folder::below(&std::env::temp_dir(), name)
    }

    /// A new one in this directory.
    pub fn below(parent: &Path, name: &str) -> Folder {
        let folder = parent.join(format!("hypercopy-stories-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the directory can be made");
        Folder(folder)
    }

    /// Where a file of it is, or would be.
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("the path is text").to_string()
    }

    /// Writes a file, and answers where it is.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        std::fs::write(self.0.join(name), bytes).expect("the file can be written");
        self.path(name)
    }

    /// What stands in a file.
    #[track_caller]
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).expect("the file is there")
    }

    /// A text without the names of this directory.
    pub fn without_names(&self, text: &str) -> String {
        text.replace(&self.path(""), "")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
