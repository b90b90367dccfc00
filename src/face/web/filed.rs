//! What the web page and programs do with files: which route is whose.

use hyper::body::Incoming;
use hyper::Request;

use super::access::Role;
use super::rights::Grant;
use super::site::WebSite;
use crate::face::routes::{unescape, unroutable};
use crate::io::http::Answer;
use crate::node::api::ApiError;

/// The names of what is routed here.
pub(super) const NAMES: [&str; 5] = ["content", "zip", "uploads", "revert", "restore-to"];

impl WebSite {
    /// Answers one of [`NAMES`].
    pub(super) async fn filed(
        &self,
        request: Request<Incoming>,
        grant: &Grant,
        name: &str,
        argument: Option<&str>,
    ) -> Result<Answer, ApiError> {
        if matches!(name, "uploads" | "revert") {
            grant.check_role(Role::Member)?;
        }
        let argument = argument.map(unescape).transpose()?;
        match (request.method().as_str(), name, argument.as_deref()) {
            ("GET" | "HEAD", "content", None) => self.content(&request.into_parts().0, grant).await,
            ("GET" | "HEAD", "zip", None) => self.zip(&request.into_parts().0, grant).await,
            ("POST", "uploads", None) => self.begin_upload(request, grant).await,
            (_, "uploads", Some(id)) => {
                let (request, body) = request.into_parts();
                self.upload(&request, body, grant, id).await
            }
            ("POST", "revert", None) => self.revert(request, grant).await,
            ("POST", "restore-to", None) => self.restore_to(request, grant).await,
            (method, ..) => Err(unroutable(method, request.uri().path(), name)),
        }
    }
}
