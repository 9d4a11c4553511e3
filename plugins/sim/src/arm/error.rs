use serde_json::{Value, json};

/// Error as ARM and its providers word it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ArmError {
    /// HTTP status of the answer.
    pub(crate) status: u16,
    /// Error code, such as `ResourceNotFound`.
    pub(crate) code: Box<str>,
    pub(crate) message: Box<str>,
    /// Property that the error is about, where the provider names it.
    pub(crate) target: Option<Box<str>>,
    /// Pairs of code and message; `None` if the provider sends no details.
    pub(crate) details: Option<Vec<(String, String)>>,
    /// True if ARM's front door answers, and not a provider.
    pub(crate) gateway: bool,
    /// Further headers of the answer, such as `Retry-After`.
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl ArmError {
    /// Returns an error of a provider, without target and details.
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into().into_boxed_str(),
            target: None,
            details: None,
            gateway: false,
            headers: Vec::new(),
        }
    }

    /// Returns a refusal of ARM's front door.
    pub(crate) fn gateway(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { gateway: true, ..Self::new(status, code, message) }
    }

    /// Returns a 400 of the network provider, which sends empty details.
    pub(crate) fn network(code: &str, message: impl Into<String>) -> Self {
        Self { details: Some(Vec::new()), ..Self::new(400, code, message) }
    }

    /// Returns a 400 `InvalidParameter` with its target.
    pub(crate) fn invalid(target: &str, message: impl Into<String>) -> Self {
        Self { target: Some(target.into()), ..Self::new(400, "InvalidParameter", message) }
    }

    /// Returns the 400 for a required parameter that is absent.
    pub(crate) fn missing(target: &str) -> Self {
        Self::invalid(target, format!("Required parameter '{target}' is missing (null)."))
    }

    /// Adds a detail with its own code.
    pub(crate) fn with_detail(mut self, code: &str, message: impl Into<String>) -> Self {
        self.details.get_or_insert_default().push((code.to_owned(), message.into()));
        self
    }

    /// Adds a header to the answer.
    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Returns the 404 for a group.
    pub(crate) fn group_not_found(name: &str) -> Self {
        Self::gateway(404, "ResourceGroupNotFound", format!("Resource group '{name}' could not be found."))
    }

    /// Returns the front door's 404 for a top-level resource.
    pub(crate) fn resource_not_found(type_and_name: &str, group: &str) -> Self {
        let message = format!(
            "The Resource '{type_and_name}' under resource group '{group}' was not found. For more details please go to \
             https://aka.ms/ARMResourceNotFoundFix"
        );
        Self::gateway(404, "ResourceNotFound", message)
    }

    /// Returns the network provider's 404 for a child.
    pub(crate) fn child_not_found(id: &str) -> Self {
        Self { details: Some(Vec::new()), ..Self::new(404, "NotFound", format!("Resource {id} not found.")) }
    }

    /// Returns the 405 for a method that the resource does not have.
    pub(crate) fn method_not_allowed(method: &str) -> Self {
        let message = format!("The requested resource does not support http method '{method}'.");
        Self::gateway(405, "MethodNotAllowed", message)
    }

    /// Returns the 400 for a reference to a resource that does not exist.
    pub(crate) fn bad_reference(referenced: &str, by: &str) -> Self {
        let message = format!(
            "Resource {referenced} referenced by resource {by} was not found. Please make sure that the referenced \
             resource exists, and that both resources are in the same region."
        );
        Self::network("InvalidResourceReference", message)
    }

    /// Returns the JSON of the error: `{"error": {"code", "message", …}}`.
    pub(crate) fn body(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(target) = &self.target {
            error["target"] = json!(target);
        }
        if let Some(details) = &self.details {
            let details: Vec<Value> =
                details.iter().map(|(code, message)| json!({ "code": code, "message": message })).collect();
            error["details"] = json!(details);
        }
        json!({ "error": error })
    }
}
