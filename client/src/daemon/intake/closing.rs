//! Whether somebody says that all is done, and nothing else.

/// The keywords, ready to be compared.
#[derive(Debug, Clone)]
pub(super) struct Closing(Vec<String>);

impl Closing {
    pub(super) fn new(keywords: &[String]) -> Self {
        Self(keywords.iter().map(|keyword| plain(keyword)).filter(|keyword| !keyword.is_empty()).collect())
    }

    /// Whether a comment consists of keywords. One that says anything beside them may be asking for more, and what is asked
    /// must not be lost. What it quotes is what somebody else said.
    pub(super) fn is_said(&self, comment: &str) -> bool {
        let own = comment.lines().filter(|line| !line.trim_start().starts_with('>'));
        let mut phrases = own.flat_map(|line| line.split(ends_phrase)).map(plain).filter(|phrase| !phrase.is_empty());
        let mut is_one = false;
        phrases.all(|phrase| {
            is_one = true;
            self.0.contains(&phrase)
        }) && is_one
    }
}

fn ends_phrase(c: char) -> bool {
    ".,;!?。、．，！？…".contains(c)
}

/// A phrase without marks, smileys and mentions, in lower case, with single blanks.
fn plain(text: &str) -> String {
    let words = text.split_whitespace().filter(|word| !word.starts_with('@'));
    let letters = |word: &str| word.chars().filter(|c| c.is_alphanumeric() || *c == 'ー').collect::<String>();
    let words: Vec<String> = words.map(letters).filter(|word| !word.is_empty()).collect();
    words.join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::super::super::config::IntakeConfig;
    use super::*;

    #[test]
    fn only_what_says_nothing_else_closes() {
        let closing = Closing::new(&IntakeConfig::default().closing_keywords);
        for said in [
            "done",
            "Done!",
            "**Resolved**",
            "@poppo thanks 🎉",
            "Thank  you. Closed.",
            "完了",
            "完了しました。ありがとうございます！",
            "ありがとう、解決しました😊",
            "> the old question\n\n解決しました",
        ] {
            assert!(closing.is_said(said), "{said}");
        }
        for said in [
            "",
            "🎉",
            "> done",
            "not done",
            "undone",
            "完了していません",
            "まだ解決しません",
            "Thanks! Please add a test, too.",
            "ありがとうございます。次に文書もお願いします。",
            "done?\nWhat about the tests",
        ] {
            assert!(!closing.is_said(said), "{said}");
        }
        assert!(Closing::new(&["終わり".to_owned()]).is_said("終わり。"));
        assert!(!Closing::new(&[]).is_said("done"));
    }
}
