//! Which virtual router is meant by a name. Pure.

use hacluster_conf::nearest;
use std::fmt;

/// Why a name means no virtual router, or more than one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// There is none of that name.
    Unknown {
        /// The name.
        name: String,
        /// The one that was probably meant.
        nearest: Option<String>,
        /// All there are.
        all: Vec<String>,
    },
    /// There are several, which differ in case only.
    Ambiguous {
        /// The name.
        name: String,
        /// Those that fit.
        candidates: Vec<String>,
    },
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name, nearest: Some(nearest), .. } => {
                write!(f, "this node runs no virtual router `{name}`; did you mean `{nearest}`?")
            }
            Self::Unknown { name, all, .. } if all.is_empty() => {
                write!(f, "this node runs no virtual router `{name}`, and no other one")
            }
            Self::Unknown { name, all, .. } => {
                write!(f, "this node runs no virtual router `{name}`; it runs {}", all.join(", "))
            }
            Self::Ambiguous { name, candidates } => {
                write!(f, "`{name}` may be any of {}; write it as one of them is", candidates.join(", "))
            }
        }
    }
}

impl std::error::Error for NotFound {}

/// The place in `names` of the one that is meant by `wanted`: the same, else the same but for case.
///
/// # Errors
/// When none or several are.
pub fn find(names: &[&str], wanted: &str) -> Result<usize, NotFound> {
    if let Some(same) = names.iter().position(|name| *name == wanted) {
        return Ok(same);
    }
    let alike = |name: &&&str| name.eq_ignore_ascii_case(wanted);
    let candidates: Vec<String> = names.iter().filter(alike).map(|name| (*name).to_owned()).collect();
    match candidates.len() {
        0 => Err(NotFound::Unknown {
            name: wanted.to_owned(),
            nearest: nearest(wanted, names.iter().copied()).map(str::to_owned),
            all: names.iter().map(|name| (*name).to_owned()).collect(),
        }),
        1 => Ok(names.iter().position(|name| alike(&name)).unwrap_or_default()),
        _ => Err(NotFound::Ambiguous { name: wanted.to_owned(), candidates }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_regardless_of_case_and_doubt_is_an_error() {
        let names = ["VI_1", "VI_2", "web", "Web"];
        let text = |wanted| find(&names, wanted).unwrap_err().to_string();
        assert_eq!((find(&names, "vi_1"), find(&names, "VI_2"), find(&names, "Web")), (Ok(0), Ok(1), Ok(3)));
        assert!(text("WEB").contains("any of web, Web"), "{}", text("WEB"));
        assert!(text("IV_1").contains("`VI_1`"), "{}", text("IV_1"));
        assert!(text("something").contains("VI_1, VI_2, web, Web"), "{}", text("something"));
        assert!(find(&[], "x").unwrap_err().to_string().contains("no other"));
    }
}
