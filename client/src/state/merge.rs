//! Many values at once, from elsewhere.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::Serialize;

use super::{PIECE, State, limits};
use crate::{Error, Refusal};

/// How many bytes of values are merged in one step, unless it is one value.
const BATCH: usize = 1 << 20;

/// What becomes of a value that is there already and another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays.
    Keep,
    /// The one that comes takes its place.
    Replace,
}

/// What became of values that were merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Merged {
    /// Values that are there now, and were not or were others before.
    pub set: u64,
    /// Values that were there already.
    pub unchanged: u64,
    /// Values that stayed although others came.
    pub kept: u64,
}

impl AddAssign for Merged {
    fn add_assign(&mut self, other: Self) {
        self.set += other.set;
        self.unchanged += other.unchanged;
        self.kept += other.kept;
    }
}

impl State {
    /// Checks a value as it would be merged, and answers it as it would be stored.
    ///
    /// # Errors
    /// [`Error::BadArgument`] where its name or it itself is not allowed.
    pub fn check(name: &str, text: &str) -> Result<String, Error> {
        limits::name(name)?;
        limits::value(name, text)
    }

    /// Merges values, in JSON, by their names: some at a time, each batch in one step. The same again changes nothing, so
    /// where it was broken off it can be started again. Values of other names stay.
    ///
    /// ```no_run
    /// # async fn example(project: poppo::Project) -> Result<(), poppo::Error> {
    /// use poppo::Existing;
    ///
    /// let values = [("1".to_owned(), r#"{"status":"completed"}"#.to_owned())].into();
    /// let merged = project.state("issues")?.merge(&values, Existing::Keep).await?;
    /// println!("{} values were new", merged.set);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Transaction::commit`](crate::Transaction::commit); what is not allowed is found before anything is merged.
    pub async fn merge(&self, values: &BTreeMap<String, String>, existing: Existing) -> Result<Merged, Error> {
        self.merge_or_look(values, existing, true).await
    }

    /// What [`merge`](Self::merge) would do. It changes nothing.
    ///
    /// # Errors
    /// As [`merge`](Self::merge).
    pub async fn plan(&self, values: &BTreeMap<String, String>, existing: Existing) -> Result<Merged, Error> {
        self.merge_or_look(values, existing, false).await
    }

    async fn merge_or_look(
        &self,
        values: &BTreeMap<String, String>,
        existing: Existing,
        does: bool,
    ) -> Result<Merged, Error> {
        for (name, text) in values {
            Self::check(name, text)?;
        }
        let mut merged = Merged::default();
        let mut values = values.iter().peekable();
        while values.peek().is_some() {
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while batch.len() < PIECE
                && let Some((name, text)) = values.next_if(|(_, text)| batch.is_empty() || bytes + text.len() <= BATCH)
            {
                bytes += text.len();
                batch.push((name.clone(), limits::compact(text)));
            }
            merged += self.merge_batch(&batch, existing, does).await?;
        }
        Ok(merged)
    }

    /// Writes only where nobody writes in between: what was counted is what was done.
    async fn merge_batch(&self, batch: &[(String, String)], existing: Existing, does: bool) -> Result<Merged, Error> {
        let names: Vec<String> = batch.iter().map(|(name, _)| name.clone()).collect();
        loop {
            let mut merged = Merged::default();
            let mut transaction = self.transaction();
            for ((name, text), there) in batch.iter().zip(self.get_texts(&names).await?) {
                match there {
                    Some(there) if limits::compact(&there) == *text => merged.unchanged += 1,
                    Some(_) if existing == Existing::Keep => merged.kept += 1,
                    there => {
                        merged.set += 1;
                        transaction = transaction.set_text(name, text);
                        if there.is_none() {
                            transaction = transaction.absent(name);
                        }
                    }
                }
            }
            if merged.set == 0 || !does {
                return Ok(merged);
            }
            match transaction.commit().await {
                // It came meanwhile.
                Err(Error::Refused(Refusal::Conflict { .. })) => {}
                done => return done.map(|_| merged),
            }
        }
    }
}
