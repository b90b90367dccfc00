//! `config get` and `config set`: the configuration of a node that runs, which its file follows. Read `node/config.rs` first.

use serde_json::json;

use crate::node::api::ApiError;
use crate::node::config::{set, Config};
use crate::node::core::Core;
use crate::node::ports::{CallId, Ending, Output};

impl Core {
    /// `config get`.
    pub(in crate::node) fn call_config_get(&mut self, id: CallId, key: Option<&str>) {
        let value = match key {
            None => Ok(self.setup.config.values()),
            Some(key) => self.setup.config.value(key).map_err(ApiError::from),
        };
        match value {
            Ok(value) => {
                self.json(id, value);
                self.end_call(id, Ok(Ending::Complete));
            }
            Err(error) => self.end_call(id, Err(error)),
        }
    }

    /// Every key, as one needs it to choose a value.
    pub(in crate::node) fn call_config_keys(&mut self, id: CallId) {
        self.json(id, self.setup.config.explained());
        self.end_call(id, Ok(Ending::Complete));
    }

    /// `config set`.
    pub(in crate::node) fn call_config_set(&mut self, id: CallId, key: &str, value: &str) {
        match self.set_config(key, value) {
            Ok(()) => {
                self.json(id, json!({"key": key, "value": value}));
                self.configured();
                self.end_call(id, Ok(Ending::Complete));
            }
            Err(error) => self.end_call(id, Err(error)),
        }
    }

    /// Changes a key of the configuration, here and in the file.
    pub(in crate::node) fn set_config(&mut self, key: &str, value: &str) -> Result<(), ApiError> {
        let text = set(&self.setup.config_text, key, value).map_err(ApiError::from)?;
        self.setup.config = Config::parse(&text).map_err(ApiError::from)?;
        self.endpoint.set_keepalive(self.setup.config.keepalive);
        self.setup.config_text.clone_from(&text);
        self.outputs.push_back(Output::SaveConfig(text));
        Ok(())
    }

    /// Puts names that were given with init, join or recover into the configuration.
    pub(in crate::node) fn take_names(
        &mut self,
        name: Option<String>,
        site: Option<String>,
    ) -> Result<(), ApiError> {
        name.map_or(Ok(()), |name| self.set_config("node.name", &name))?;
        site.map_or(Ok(()), |site| self.set_config("node.site", &site))
    }
}
