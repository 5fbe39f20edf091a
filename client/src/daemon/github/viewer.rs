//! Who we are to GitHub: under which name it shows what is written with our credential.

use serde::Deserialize;

use super::account::{Bearer, app_bearer};
use super::types::User;
use super::{Call, Cause, GithubError, Repo};

impl Repo {
    /// The login that our comments are shown under; none where GitHub does not say, as to tokens that are nobody's.
    pub(crate) async fn own_login(&self) -> Result<Option<String>, GithubError> {
        if let Bearer::Installation { app, .. } = &self.account.bearer {
            #[derive(Deserialize)]
            struct App {
                slug: String,
            }
            let call = Call::get("/app".to_owned());
            let bearer = app_bearer(app).map_err(|cause| call.failed(cause))?;
            let answer = self.github.shared.as_app::<App>(&call, bearer).await;
            let (app, _) = answer.map_err(|cause| call.failed(cause))?;
            return Ok(Some(format!("{}[bot]", app.slug)));
        }
        let call = || Call::get("/user".to_owned());
        match self.call(call()).await {
            Ok((answer, _)) => Ok(Some(self.parsed::<User>(&call(), &answer)?.login)),
            Err(GithubError { cause: Cause::Forbidden(_) | Cause::NotFound, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
