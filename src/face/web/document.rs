//! Holds docs/openapi.json to the routes and rights in the code: neither can be forgotten. `tests/api.rs` holds it to the real server.

use std::collections::BTreeSet;

use serde_json::{json, Map, Value};

use super::access::Role;
use super::rights::needs;
use crate::face::routes::{route, NAMES, PREFIX};

/// The document.
fn document() -> Value {
    serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap()
}

/// Each operation: path, method, and what is said of it.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of = |(path, methods): (&String, &Value)| {
        let methods = methods.as_object().unwrap().clone();
        methods
            .into_iter()
            .map(|(method, said)| (path.clone(), method.to_uppercase(), said))
            .collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

/// A value that fits a schema, as far as routes look at it.
fn sample(name: &str, schema: &Value) -> Value {
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match (name, kind) {
        ("code", _) => json!("12345678"),
        ("directory", _) => json!("/nowhere"),
        (_, Some("integer")) => json!(0),
        (_, Some("boolean")) => json!(false),
        (_, Some("array")) => json!([]),
        _ => schema["enum"].get(0).cloned().unwrap_or_else(|| json!("nothing")),
    }
}

/// A body with all that an operation names.
fn body(said: &Value) -> String {
    let schema = &said["requestBody"]["content"]["application/json"]["schema"];
    let mut body = Map::new();
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        if !["directory_base64", "peer"].contains(&name.as_str()) {
            body.insert(name.clone(), sample(name, schema));
        }
    }
    Value::Object(body).to_string()
}

#[test]
fn every_name_that_is_routed_is_in_the_document_and_no_other() {
    let document = document();
    let named = operations(&document).into_iter().filter_map(|(path, _, _)| {
        let rest = path.strip_prefix(PREFIX)?.to_owned();
        Some(rest.split('/').next().unwrap_or_default().to_owned())
    });
    let named: BTreeSet<String> = named.filter(|name| name != "openapi.json").collect();
    let routed: BTreeSet<String> = NAMES.split(' ').map(str::to_owned).collect();
    assert_eq!(named, routed);
}

#[test]
fn the_document_and_the_code_agree_who_may_do_what_and_with_what() {
    let mut calls = 0;
    for (path, method, said) in operations(&document()) {
        let mut query = String::new();
        for parameter in said["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            if parameter["in"] == "query" {
                let value = sample(name, &parameter["schema"]);
                query.push_str(&format!("{name}={}&", value.to_string().trim_matches('"')));
            }
        }
        let path = path.replace(['{', '}'], "");
        match route(&method, &path, &query, body(&said).as_bytes()) {
            Ok(call) => {
                let role = match needs(&call).0 {
                    Role::Read => "read",
                    Role::Member => "member",
                    Role::Admin => "admin",
                };
                assert_eq!(said["x-role"], role, "{method} {path}");
                calls += 1;
            }
            // What is answered without the core.
            Err(error) => assert!(
                matches!(error.code.as_str(), "unknown_route" | "method_not_allowed"),
                "{method} {path}: {error}"
            ),
        }
    }
    assert!(calls > 35, "only {calls} operations lead to the core");
}

#[test]
fn a_reader_is_offered_nothing_that_changes_something() {
    for (path, method, said) in operations(&document()) {
        let reads = matches!(method.as_str(), "GET" | "HEAD") || said["operationId"] == "restoreSome";
        match said["x-role"].as_str() {
            Some("read") => assert!(reads, "{method} {path}"),
            Some("none" | "member" | "admin") => {}
            other => panic!("{method} {path} is for {other:?}"),
        }
    }
}
