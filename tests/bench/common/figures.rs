//! Figures as people read them: targets, numbers, tables in documents.

use std::path::Path;

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    pub(crate) fn met(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(least) => figure >= least,
            Self::AtMost(most) => figure <= most,
        }
    }
}

/// With commas between thousands.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The text with `table` between the lines `<!-- mark -->` and `<!-- /mark -->`; none where it has no such lines.
pub(crate) fn insert(text: &str, mark: &str, table: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {mark} -->"), format!("<!-- /{mark} -->"));
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{table}{end}{after}"))
}

/// Writes a file, with the directory that it lies in, and says so.
pub(crate) fn store(path: &Path, text: &str) {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).expect("the directory is there or can be made");
    }
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    eprintln!("wrote {}", path.display());
}

/// Puts a table into a document, where its lines `<!-- mark -->` and `<!-- /mark -->` are.
pub(crate) fn store_between(path: &Path, mark: &str, table: &str) {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let text = insert(&text, mark, table);
    store(
        path,
        &text.unwrap_or_else(|| panic!("{} has no lines <!-- {mark} --> and <!-- /{mark} -->", path.display())),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(thousands(7), "7");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(4_000_000), "4,000,000");
        assert_eq!(thousands(123_456), "123,456");
    }

    #[test]
    fn the_table_goes_between_the_marks_and_replaces_what_was_there() {
        let text = "a\n<!-- bench -->\nold\n<!-- /bench -->\nb\n";
        let once = insert(text, "bench", "new\n").unwrap();
        assert_eq!(once, "a\n<!-- bench -->\nnew\n<!-- /bench -->\nb\n");
        assert_eq!(insert(&once, "bench", "new\n"), Some(once));
        assert_eq!(insert("no marks", "bench", "new\n"), None);
    }

    #[test]
    fn a_target_is_met_or_missed() {
        assert!(Target::AtLeast(1.0).met(1.0) && !Target::AtLeast(1.0).met(0.99));
        assert!(Target::AtMost(30.0).met(30.0) && !Target::AtMost(30.0).met(30.1));
        assert!(!Target::AtMost(30.0).met(f64::NAN), "what was not measured meets nothing");
    }
}
