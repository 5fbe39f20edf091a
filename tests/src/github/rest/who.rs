//! The repository itself, who asks, how much he may still ask, and Apps.

use serde_json::{Value, json};

use super::body::Fields;
use super::{Answer, Call, Failure, Reply};
use crate::github::auth::{App, Caller, TOKEN_LIFE, Token};
use crate::github::clock::{rfc3339, seconds};
use crate::github::limits::Resource;
use crate::github::render;
use crate::github::state::{World, same};

/// `GET /repos/{owner}/{repo}`
pub(super) async fn repository(call: Call) -> Answer {
    call.read(|world, repository| Ok(Reply::ok(render::repository(world, repository))))
}

/// `GET /user`
pub(super) async fn user(call: Call) -> Answer {
    let token = call.token()?;
    if token.scopes.is_none() {
        return Err(Failure::forbidden("Resource not accessible by integration"));
    }
    Ok(Reply::ok(render::user(&call.session.hub.world(), &token.login)))
}

/// `GET /rate_limit`
pub(super) async fn rate_limit(call: Call) -> Answer {
    let (hub, token) = (&call.session.hub, call.token()?);
    let now = hub.clock.now();
    let gauge = |resource| {
        let gauge = hub.meters().gauge(&token.secret, resource, now);
        let reset = seconds(gauge.reset) + 1;
        json!({ "limit": gauge.limit, "used": gauge.used, "remaining": gauge.remaining(), "reset": reset })
    };
    let (core, graphql) = (gauge(Resource::Core), gauge(Resource::Graphql));
    let search = json!({ "limit": 30, "used": 0, "remaining": 30, "reset": seconds(now) + 60 });
    let resources = json!({ "core": core, "graphql": graphql, "search": search });
    Ok(Reply::ok(json!({ "resources": resources, "rate": core })))
}

/// `GET /app`
pub(super) async fn app(call: Call) -> Answer {
    let app = by_app(&call)?;
    let world = call.session.hub.world();
    Ok(Reply::ok(json!({
        "id": app.id,
        "slug": app.slug,
        "node_id": "A_kwTESTS",
        "client_id": format!("Iv1.{:016x}", app.id),
        "owner": render::user(&world, &app.owner),
        "name": app.slug,
        "description": null,
        "external_url": world.html,
        "html_url": format!("{}/apps/{}", world.html, app.slug),
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "permissions": { "issues": "write", "metadata": "read" },
        "events": ["issues", "issue_comment"],
        "installations_count": 1,
    })))
}

/// `GET /app/installations`
pub(super) async fn installations(call: Call) -> Answer {
    let app = by_app(&call)?;
    Ok(Reply::ok(json!([installation_of(&call.session.hub.world(), &app)])))
}

/// `GET /app/installations/{id}`
pub(super) async fn installation_by_id(call: Call) -> Answer {
    let app = by_app(&call)?;
    if call.number("id")? != app.installation {
        return Err(Failure::not_found());
    }
    Ok(Reply::ok(installation_of(&call.session.hub.world(), &app)))
}

/// `GET /repos/{owner}/{repo}/installation`
pub(super) async fn installation(call: Call) -> Answer {
    let app = by_app(&call)?;
    let world = call.session.hub.world();
    let found = world.repository(call.segment("owner"), call.segment("repo"));
    found.filter(|repository| same(&repository.owner, &app.owner)).ok_or_else(Failure::not_found)?;
    Ok(Reply::ok(installation_of(&world, &app)))
}

/// `POST /app/installations/{id}/access_tokens`
pub(super) async fn access_token(call: Call) -> Answer {
    let app = by_app(&call)?;
    if call.number("id")? != app.installation {
        return Err(Failure::not_found());
    }
    let mut repositories = None;
    if !call.body.is_empty() && call.body != "{}" && call.body != "null" {
        let fields = Fields::of(&call, &["repositories", "repository_ids", "permissions"])?;
        let full = |name: String| format!("{}/{name}", app.owner);
        repositories = fields.names("repositories")?.map(|names| names.into_iter().map(full).collect());
    }
    let hub = &call.session.hub;
    let expires = hub.clock.stamp() + TOKEN_LIFE;
    let secret = format!("ghs_tests{}", hub.request_id().replace(':', ""));
    let token = Token {
        secret: secret.clone(),
        login: format!("{}[bot]", app.slug),
        scopes: None,
        can_write: true,
        repositories,
        expires: Some(expires),
    };
    hub.keys().tokens.push(token);
    Ok(Reply::created(json!({
        "token": secret,
        "expires_at": rfc3339(expires),
        "permissions": { "issues": "write", "metadata": "read" },
        "repository_selection": "all",
    })))
}

/// The App that asks; people may not.
fn by_app(call: &Call) -> Result<App, Failure> {
    let undecodable = || Failure::unauthorized("A JSON web token could not be decoded");
    match call.session.caller {
        Caller::App => call.session.hub.keys().app.clone().ok_or_else(undecodable),
        Caller::Token(_) => Err(undecodable()),
    }
}

fn installation_of(world: &World, app: &App) -> Value {
    let url = format!("{}/app/installations/{}", world.api, app.installation);
    json!({
        "id": app.installation,
        "account": render::user(world, &app.owner),
        "repository_selection": "all",
        "access_tokens_url": format!("{url}/access_tokens"),
        "repositories_url": format!("{}/installation/repositories", world.api),
        "html_url": format!("{}/settings/installations/{}", world.html, app.installation),
        "app_id": app.id,
        "app_slug": app.slug,
        "target_id": 1,
        "target_type": "User",
        "permissions": { "issues": "write", "metadata": "read" },
        "events": ["issues", "issue_comment"],
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "single_file_name": null,
        "suspended_by": null,
        "suspended_at": null,
    })
}
