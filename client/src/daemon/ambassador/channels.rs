//! Where requests come from, and where answers go.

use std::sync::Arc;

use super::super::config::{LegacyView, ProjectConfig};

/// The project whose name is that of the channels.
const NAMESAKE: &str = "poppo";
/// The channels' names in the oldest layout.
const BARE: (&str, &str) = ("mirin-requests", "mirin-responses");

/// The channels on which one project is asked, and those on which it is answered.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Channels {
    pairs: Vec<(String, Arc<str>)>,
}

impl Channels {
    /// Those of a project; none where nobody can mean it. A project with a view has channels of its own name. Those that all
    /// older programs know belong to one project of a server: the [`home`].
    pub(in super::super) fn of(project: &ProjectConfig, home: Option<&str>) -> Option<Self> {
        let (key, mut pairs) = (project.key.as_str(), Vec::new());
        let named =
            |key: &str| (format!("{key}:channel:mirin:requests"), format!("{key}:channel:mirin:responses").into());
        if project.legacy_view != LegacyView::Off || key == NAMESAKE {
            pairs.push(named(key));
        }
        if home == Some(key) {
            if key != NAMESAKE {
                pairs.push(named(NAMESAKE));
            }
            pairs.push((BARE.0.to_owned(), BARE.1.into()));
        }
        (!pairs.is_empty()).then_some(Self { pairs })
    }

    /// All on which requests come.
    pub(super) fn requests(&self) -> Vec<String> {
        self.pairs.iter().map(|(requests, _)| requests.clone()).collect()
    }

    /// Where what comes on this one is answered.
    pub(super) fn answers(&self, requests: &str) -> Option<Arc<str>> {
        self.pairs.iter().find(|(name, _)| name == requests).map(|(_, answers)| Arc::clone(answers))
    }
}

/// The project to which the channels belong that all older programs know: `poppo`, or else the first one with a view.
pub(in super::super) fn home(projects: &[ProjectConfig]) -> Option<&str> {
    let namesake = projects.iter().find(|project| project.key.as_str() == NAMESAKE);
    let home = namesake.or_else(|| projects.iter().find(|project| project.legacy_view != LegacyView::Off));
    home.map(|project| project.key.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(project: &ProjectConfig, home: Option<&str>) -> Vec<String> {
        Channels::of(project, home).map(|channels| channels.requests()).unwrap_or_default()
    }

    #[test]
    fn the_channels_that_all_know_belong_to_one_project() {
        let poppo = ProjectConfig::of("poppo");
        let mut other = ProjectConfig::of("acme/widgets");
        let ours = ["poppo:channel:mirin:requests", "mirin-requests"];
        assert_eq!(home(&[other.clone(), poppo.clone()]), Some("poppo"));
        assert_eq!(requests(&poppo, Some("poppo")), ours);
        assert_eq!((home(std::slice::from_ref(&other)), requests(&other, None)), (None, vec![]));
        other.legacy_view = LegacyView::Poppo;
        assert_eq!(home(std::slice::from_ref(&other)), Some("acme/widgets"));
        let own = "acme/widgets:channel:mirin:requests";
        assert_eq!(requests(&other, Some("acme/widgets")), [&[own], ours.as_slice()].concat());
        assert_eq!(requests(&other, Some("poppo")), [own]);
    }

    #[test]
    fn each_is_answered_on_its_own() {
        let channels = Channels::of(&ProjectConfig::of("poppo"), Some("poppo"));
        let answers = |name| channels.as_ref().and_then(|channels| channels.answers(name));
        assert_eq!(answers("mirin-requests").as_deref(), Some("mirin-responses"));
        assert_eq!(answers("poppo:channel:mirin:requests").as_deref(), Some("poppo:channel:mirin:responses"));
        assert_eq!(answers("mirin-responses"), None);
    }
}
