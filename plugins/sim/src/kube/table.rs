use jiff::Timestamp;
use serde_json::{Value, json};

use super::json::{list_at, str_at};
use super::resource::Resource;
use super::table_columns::{Column, columns, priority};

/// Returns an object, or a list, as a `Table` with the columns that `kubectl get` prints.
///
/// The columns follow the real server for the kinds in use; other kinds have name and age only.
pub(crate) fn table(resource: &Resource, body: &Value, now: Timestamp) -> Value {
    let columns = columns(resource, now);
    let is_list = str_at(body, &["kind"]) == resource.list_kind;
    let objects: Vec<&Value> = if is_list { list_at(body, &["items"]).iter().collect() } else { vec![body] };
    let rows: Vec<Value> = objects.into_iter().map(|object| row(&columns, object)).collect();
    let definitions: Vec<Value> = columns
        .iter()
        .map(|(name, _)| {
            let format = if name == "Name" { "name" } else { "" };
            json!({ "name": name, "type": "string", "format": format, "description": "", "priority": priority(name) })
        })
        .collect();
    let metadata = if is_list { body.get("metadata").cloned() } else { None };
    let metadata =
        metadata.unwrap_or_else(|| json!({ "resourceVersion": str_at(body, &["metadata", "resourceVersion"]) }));
    json!({ "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": definitions, "rows": rows })
}

/// Returns the row of an object: cells and metadata.
fn row(columns: &[Column], object: &Value) -> Value {
    let cells: Vec<Value> = columns.iter().map(|(_, cell)| cell(object)).collect();
    json!({ "cells": cells, "object": partial(object) })
}

/// Returns the metadata of an object as `PartialObjectMetadata`.
pub(crate) fn partial(object: &Value) -> Value {
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object.get("metadata") })
}

/// Returns the metadata of a list, or of one object.
pub(crate) fn partials(resource: &Resource, body: &Value) -> Value {
    if str_at(body, &["kind"]) != resource.list_kind {
        return partial(body);
    }
    let items: Vec<Value> = list_at(body, &["items"]).iter().map(partial).collect();
    json!({ "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": body.get("metadata"), "items": items })
}
