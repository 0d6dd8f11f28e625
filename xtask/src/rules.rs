//! The rules of the house that `cargo metadata` can show: layers and `unsafe`.
//!
//! Each manifest says in `[package.metadata.multios]` its `layer` (a number, `"user"`, `"tool"` or `"dev"`), `unsafe`
//! (`"forbid"`, `"allowed"` or the names of the only modules that may use it, such as `"boot, entry"`) and `host-test`. A
//! numbered crate depends only on strictly lower ones; `unsafe` is for the few crates and modules named here.

use anyhow::{Context, Result};
use serde_json::Value;

/// Crates that may use `unsafe`, with the reason.
const UNSAFE_ALLOWED: &[(&str, &str)] = &[
    ("sync", "spin locks and per-CPU cells"),
    ("memory", "memory::raw alone reaches frames"),
    ("hal-x86_64", "machine instructions"),
    ("kernel", "kernel::boot and kernel::entry alone"),
    ("pm", "the native gate is an instruction"),
    ("pmbench", "raw system calls are what it measures"),
    ("svcheck", "bad services fork, raise and map"),
    ("testkit", "an allocator that fails on purpose"),
];
/// In these crates only the modules named may lift the ban; the crate's root denies `unsafe_code`.
const UNSAFE_MODULES: &[(&str, &[&str])] = &[("memory", &["raw"]), ("kernel", &["boot", "entry"])];

/// Crates of the kernel that programs use as well: what both speak over a device.
const SPOKEN: &[&str] = &["services"];

/// Where a crate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Part of the kernel; 0 is the lowest.
    Kernel(u64),
    /// A program of ring 3, or a tool: depends on what it likes of the kernel's lowest layer and of [`SPOKEN`]; only others
    /// of its kind depend on it.
    Outside,
    /// Only for tests; may be a dev-dependency of any crate.
    Dev,
}

/// A crate of the workspace as the rules see it.
#[derive(Clone, Debug)]
pub struct Crate {
    /// Its name.
    pub name: String,
    /// Its layer, if the manifest says so rightly.
    pub layer: Option<Layer>,
    /// What it says of `unsafe`.
    pub unsafe_rule: Option<String>,
    /// Whether its tests run on the host.
    pub host_test: Option<bool>,
    /// Whether it is one of the workspace's default members.
    pub default_member: bool,
    /// Names of what it depends on outside of tests, workspace crates only.
    pub dependencies: Vec<String>,
    /// The text of its root module.
    pub root_source: String,
    /// All its sources: path and text.
    pub sources: Vec<(String, String)>,
}

/// Every violation, as one line each.
pub fn violations(crates: &[Crate]) -> Vec<String> {
    crates.iter().flat_map(|one| [metadata(one), layers(one, crates), unsafe_code(one)].concat()).collect()
}

fn metadata(one: &Crate) -> Vec<String> {
    let mut found = Vec::new();
    let mut need = |ok: bool, what: &str| {
        if !ok {
            found.push(format!("{}: [package.metadata.multios] {what}", one.name));
        }
    };
    need(one.layer.is_some(), "needs layer = 0...6, \"user\", \"tool\" or \"dev\"");
    need(
        one.unsafe_rule.as_deref().is_some_and(|rule| !rule.is_empty()),
        "needs unsafe = \"forbid\", \"allowed\" or the names of modules",
    );
    need(one.host_test.is_some(), "needs host-test = true or false");
    let kernel_crate = matches!(one.layer, Some(Layer::Kernel(_) | Layer::Dev));
    let default_fits = !kernel_crate || one.host_test == Some(one.default_member);
    need(default_fits, "host-test must agree with default-members of the workspace");
    found
}

fn layers(one: &Crate, crates: &[Crate]) -> Vec<String> {
    let mut found = Vec::new();
    for name in &one.dependencies {
        let Some(other) = crates.iter().find(|other| &other.name == name) else { continue };
        let allowed = match (one.layer, other.layer) {
            (Some(Layer::Kernel(mine)), Some(Layer::Kernel(theirs))) => theirs < mine,
            (Some(Layer::Outside), Some(Layer::Kernel(theirs))) => theirs == 0 || SPOKEN.contains(&name.as_str()),
            // One program may use the library part of another.
            (Some(Layer::Outside), Some(Layer::Outside)) => true,
            (Some(Layer::Dev), Some(Layer::Kernel(_))) => true,
            (Some(_), Some(Layer::Outside | Layer::Dev)) => false,
            _ => true, // reported as missing metadata
        };
        if !allowed {
            found.push(format!(
                "{} ({}) must not depend on {name} ({})",
                one.name,
                place(one.layer),
                place(other.layer)
            ));
        }
    }
    found
}

fn place(layer: Option<Layer>) -> String {
    match layer {
        Some(Layer::Kernel(number)) => format!("L{number}"),
        Some(Layer::Outside) => "outside the kernel".into(),
        Some(Layer::Dev) => "for tests only".into(),
        None => "no layer".into(),
    }
}

fn unsafe_code(one: &Crate) -> Vec<String> {
    let listed = UNSAFE_ALLOWED.iter().any(|(name, _)| *name == one.name);
    let mut found = Vec::new();
    match one.unsafe_rule.as_deref() {
        Some("forbid") if has_attribute(&one.root_source, "#![forbid(unsafe_code)]") => {}
        Some("forbid") => found.push(format!("{}: its root module lacks #![forbid(unsafe_code)]", one.name)),
        Some(_) if !listed => found.push(format!("{}: is not one of the crates that may use unsafe", one.name)),
        Some(rule) => {
            let modules =
                UNSAFE_MODULES.iter().find(|(name, _)| *name == one.name).map(|(_, modules)| modules.join(", "));
            let agreed = modules.unwrap_or_else(|| "allowed".into());
            if rule != agreed {
                found.push(format!("{}: its manifest says unsafe = {rule:?}, the rule is {agreed:?}", one.name));
            }
        }
        None => {}
    }
    if let Some((_, modules)) = UNSAFE_MODULES.iter().find(|(name, _)| *name == one.name) {
        for (path, text) in &one.sources {
            let inside = modules.iter().any(|module| {
                let rest = path.strip_prefix("src/").and_then(|path| path.strip_prefix(module));
                rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            });
            if !inside && let Some(line) = unsafe_line(text) {
                found.push(format!("{}: unsafe outside of {}: {path}:{line}", one.name, modules.join(", ")));
            }
        }
    }
    found
}

fn has_attribute(text: &str, attribute: &str) -> bool {
    text.lines().any(|line| line.trim_start().starts_with(attribute))
}

/// The first line that holds the keyword, comments and strings set aside.
fn unsafe_line(text: &str) -> Option<usize> {
    let code = |line: &str| {
        let line = line.split("//").next().unwrap_or_default();
        let outside: Vec<_> = line.split('"').step_by(2).collect();
        let words = outside.join(" ");
        words.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe")
    };
    text.lines().position(code).map(|at| at + 1)
}

/// Reads the output of `cargo metadata --no-deps --format-version 1`.
pub fn read(metadata: &str) -> Result<Vec<Crate>> {
    let metadata: Value = serde_json::from_str(metadata).context("cargo metadata gave no JSON")?;
    let members = metadata["workspace_default_members"].as_array().cloned().unwrap_or_default();
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    packages.iter().map(|package| read_crate(package, &members)).collect()
}

fn read_crate(package: &Value, members: &[Value]) -> Result<Crate> {
    let own = &package["metadata"]["multios"];
    let layer = match (&own["layer"], own["layer"].as_u64()) {
        (_, Some(number @ 0..=6)) => Some(Layer::Kernel(number)),
        (Value::String(word), _) if word == "user" || word == "tool" => Some(Layer::Outside),
        (Value::String(word), _) if word == "dev" => Some(Layer::Dev),
        _ => None,
    };
    let dependencies = package["dependencies"].as_array().cloned().unwrap_or_default();
    let dependencies = dependencies.iter().filter(|dependency| dependency["kind"].as_str() != Some("dev"));
    let manifest = package["manifest_path"].as_str().context("a package without a manifest")?;
    let dir = std::path::Path::new(manifest).parent().context("a manifest without a directory")?;
    let root = package["targets"].as_array().into_iter().flatten().find_map(|target| {
        let kind = target["kind"].as_array()?.iter().any(|kind| kind == "lib" || kind == "bin");
        target["src_path"].as_str().filter(|_| kind)
    });
    Ok(Crate {
        name: package["name"].as_str().unwrap_or_default().to_owned(),
        layer,
        unsafe_rule: own["unsafe"].as_str().map(str::to_owned),
        host_test: own["host-test"].as_bool(),
        default_member: members.contains(&package["id"]),
        dependencies: dependencies.filter_map(|dependency| dependency["name"].as_str().map(str::to_owned)).collect(),
        root_source: root.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default(),
        sources: sources(dir, &dir.join("src")),
    })
}

fn sources(base: &std::path::Path, dir: &std::path::Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for path in crate::build::sorted(dir).unwrap_or_default() {
        if path.is_dir() {
            found.extend(sources(base, &path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(base).unwrap_or(&path).display().to_string();
            found.push((name, std::fs::read_to_string(&path).unwrap_or_default()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str, layer: u64, dependencies: &[&str]) -> Crate {
        Crate {
            name: name.into(),
            layer: Some(Layer::Kernel(layer)),
            unsafe_rule: Some("forbid".into()),
            host_test: Some(true),
            default_member: true,
            dependencies: dependencies.iter().map(|name| (*name).to_owned()).collect(),
            root_source: "//! Text.\n#![forbid(unsafe_code)]\n".into(),
            sources: Vec::new(),
        }
    }

    #[test]
    fn depending_downwards_is_fine() {
        assert!(violations(&[sample("a", 0, &["serde"]), sample("b", 3, &["a"])]).is_empty());
    }

    #[test]
    fn depending_upwards_or_sideways_is_reported() {
        let found = violations(&[sample("a", 0, &["b"]), sample("b", 3, &["c"]), sample("c", 3, &[])]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("a (L0) must not depend on b (L3)"));
        assert!(found[1].contains("b (L3) must not depend on c (L3)"));
    }

    #[test]
    fn programs_may_use_the_lowest_layer_only_and_nothing_uses_them() {
        let program = |dependencies: &[&str]| Crate { layer: Some(Layer::Outside), ..sample("init", 0, dependencies) };
        assert!(violations(&[sample("abi", 0, &[]), program(&["abi"])]).is_empty());
        assert!(violations(&[sample("services", 3, &[]), program(&["services"])]).is_empty());
        assert_eq!(violations(&[sample("vfs", 3, &[]), program(&["vfs"])]).len(), 1);
        assert_eq!(violations(&[sample("kernel", 6, &["init"]), program(&[])]).len(), 1);
    }

    #[test]
    fn a_crate_that_forbids_unsafe_must_say_so_in_its_root() {
        let silent = Crate { root_source: "//! #![forbid(unsafe_code)] is missing".into(), ..sample("a", 0, &[]) };
        assert_eq!(violations(&[silent]).len(), 1);
    }

    #[test]
    fn only_listed_crates_may_allow_unsafe_and_some_only_in_modules() {
        let allowed = |name: &str| Crate { unsafe_rule: Some("allowed".into()), ..sample(name, 2, &[]) };
        assert!(violations(&[allowed("sync")]).is_empty());
        assert_eq!(violations(&[allowed("vfs")]).len(), 1);
        let source = |path: &str, text: &str| vec![(path.to_owned(), text.to_owned())];
        let kernel = |sources| Crate { sources, unsafe_rule: Some("boot, entry".into()), ..allowed("kernel") };
        assert_eq!(violations(&[allowed("kernel")]).len(), 1, "all of the kernel");
        assert!(violations(&[kernel(source("src/boot/pvh.rs", "unsafe { f() }"))]).is_empty());
        assert!(
            violations(&[kernel(source("src/trap.rs", "// unsafe here\nlet s = \"unsafe\"; unsafe_op();"))]).is_empty()
        );
        let found = violations(&[kernel(source("src/trap.rs", "fn f() {\n    unsafe { g() }\n}"))]);
        assert!(found[0].contains("src/trap.rs:2"), "{found:?}");
    }

    #[test]
    fn missing_metadata_is_reported_once_for_each_key() {
        let bare = Crate { layer: None, unsafe_rule: None, host_test: None, ..sample("a", 0, &[]) };
        assert_eq!(violations(&[bare]).len(), 3);
    }

    #[test]
    fn the_output_of_cargo_metadata_is_understood() {
        let text = r#"{"workspace_default_members": ["id-a"], "packages": [{"name": "a", "id": "id-a", "manifest_path": "/none/Cargo.toml",
            "targets": [], "metadata": {"multios": {"layer": 3, "unsafe": "raw", "host-test": true}},
            "dependencies": [{"name": "b", "kind": null}, {"name": "testkit", "kind": "dev"}]}]}"#;
        let crates = read(text).unwrap();
        assert_eq!(crates[0].layer, Some(Layer::Kernel(3)));
        assert_eq!(crates[0].dependencies, ["b"]);
        assert!(crates[0].default_member);
    }
}
