//! What goes wrong on demand: once on one route, for ever on all, or at random by a seed.

use std::time::Duration;

use crate::Random;

/// A way for a request to go wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Refused with that status and GitHub's body for it (502 and 503 are pages of HTML); nothing was done.
    Status(u16),
    /// The same, but after everything was done.
    LateStatus(u16),
    /// Done, and answered so much later.
    Slow(Duration),
    /// Never answered, and nothing done.
    Hang,
    /// Done, and never answered.
    LateHang,
    /// Hung up on; nothing was done.
    Cut,
    /// Done, and hung up on in the middle of the answer's body.
    LateCut,
    /// Done, and answered 200 with what is no JSON.
    Nonsense,
    /// Done, and answered with the first half of the JSON, as if that were all.
    Truncated,
    /// Done, and answered with JSON of another shape.
    WrongShape,
    /// Refused as beyond a secondary limit, with that status and so many seconds in `Retry-After`.
    RetryAfter(u16, u64),
    /// The primary limit is used up until its reset.
    Exhausted,
    /// That field (from 0) of the GraphQL operation fails with that type; its siblings are done.
    GraphqlField(usize, GraphqlKind),
    /// The whole GraphQL operation fails, with HTTP 200 and no data; nothing was done.
    Graphql(GraphqlKind),
    /// Answered 304 to whoever has an ETag, whatever has changed since.
    StaleEtag,
}

/// The types of GraphQL errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphqlKind {
    /// A node is not there.
    NotFound,
    /// The token may not do that.
    Forbidden,
    /// Too much was asked.
    RateLimited,
    /// A value is not allowed.
    Unprocessable,
    /// GitHub cannot say what went wrong.
    Internal,
}

impl GraphqlKind {
    /// The word in the answer; an internal error has none.
    pub(super) fn word(self) -> Option<&'static str> {
        match self {
            Self::NotFound => Some("NOT_FOUND"),
            Self::Forbidden => Some("FORBIDDEN"),
            Self::RateLimited => Some("RATE_LIMITED"),
            Self::Unprocessable => Some("UNPROCESSABLE"),
            Self::Internal => None,
        }
    }

    /// The sentence in the answer.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::NotFound => "Could not resolve to a node with the global id of 'gone'.",
            Self::Forbidden => "Resource not accessible by integration",
            Self::RateLimited => "API rate limit exceeded for user ID 1.",
            Self::Unprocessable => "The change was not accepted",
            Self::Internal => "Something went wrong while executing your query.",
        }
    }
}

/// Which requests a fault befalls.
#[derive(Debug, Clone)]
pub struct Rule {
    method: String,
    path: Vec<String>,
    fault: Fault,
    spared: usize,
    left: usize,
}

impl Rule {
    /// Every request with that method (`*`: any) and that path without the query, in which `*` stands for one segment and
    /// `**` for all that follow.
    pub fn on(method: &str, path: &str, fault: Fault) -> Self {
        let path = path.split('/').map(str::to_owned).collect();
        Self { method: method.to_owned(), path, fault, spared: 0, left: usize::MAX }
    }

    /// Every request.
    pub fn everywhere(fault: Fault) -> Self {
        Self::on("*", "/**", fault)
    }

    /// Only so many times.
    pub fn times(mut self, times: usize) -> Self {
        self.left = times;
        self
    }

    /// Only after so many requests that it could befall.
    pub fn after(mut self, spared: usize) -> Self {
        self.spared = spared;
        self
    }

    fn is_for(&self, method: &str, path: &str) -> bool {
        if self.method != "*" && self.method != method {
            return false;
        }
        let mut segments = path.split('/');
        for wanted in &self.path {
            if wanted == "**" {
                return true;
            }
            match segments.next() {
                Some(segment) if wanted == "*" || wanted == segment => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }
}

/// Faults at random.
#[derive(Debug, Clone)]
pub struct Chaos {
    random: Random,
    one_in: usize,
    faults: Vec<Fault>,
}

impl Chaos {
    /// One of `faults` befalls one in `one_in` requests; the same seed, the same faults for the same requests.
    pub fn new(seed: u64, one_in: usize, faults: &[Fault]) -> Self {
        Self { random: Random::new(seed), one_in, faults: faults.to_vec() }
    }
}

/// All that is to go wrong.
#[derive(Debug, Default)]
pub(super) struct Faults {
    rules: Vec<Rule>,
    chaos: Option<Chaos>,
}

impl Faults {
    pub(super) fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    pub(super) fn set_chaos(&mut self, chaos: Option<Chaos>) {
        self.chaos = chaos;
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What befalls this request: the first rule that is for it, else chance.
    pub(super) fn befalls(&mut self, method: &str, path: &str) -> Option<Fault> {
        for rule in self.rules.iter_mut().filter(|rule| rule.left > 0 && rule.is_for(method, path)) {
            if rule.spared > 0 {
                rule.spared -= 1;
                continue;
            }
            rule.left -= 1;
            return Some(rule.fault.clone());
        }
        let chaos = self.chaos.as_mut()?;
        let is_struck = chaos.random.one_in(chaos.one_in);
        (is_struck && !chaos.faults.is_empty()).then(|| chaos.random.pick(&chaos.faults).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Faults, Rule};

    #[test]
    fn a_rule_is_for_its_route_only_and_as_often_as_it_says() {
        let mut faults = Faults::default();
        faults.add(Rule::on("GET", "/repos/*/*/issues/**", Fault::Hang).after(1).times(1));
        assert_eq!(faults.befalls("POST", "/repos/o/r/issues/1"), None);
        assert_eq!(faults.befalls("GET", "/repos/o/r"), None);
        assert_eq!(faults.befalls("GET", "/repos/o/r/issues/1/labels"), None, "the first is spared");
        assert_eq!(faults.befalls("GET", "/repos/o/r/issues/1/labels"), Some(Fault::Hang));
        assert_eq!(faults.befalls("GET", "/repos/o/r/issues/1/labels"), None, "once only");
    }
}
