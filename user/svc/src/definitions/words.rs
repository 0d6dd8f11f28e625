//! Words for dependencies.

use services::DependencyKind;

/// As in "web requires db".
pub fn verb(kind: DependencyKind) -> &'static str {
    match kind {
        DependencyKind::Requires => "requires",
        DependencyKind::RequiresAny(_) => "requires-any",
        DependencyKind::Milestone => "milestone",
        DependencyKind::Wants => "wants",
        DependencyKind::After => "after",
        DependencyKind::Conflicts => "conflicts",
    }
}
