//! Changes single values in the text of regcert.toml, and keeps every comment.

use toml_edit::{Array, DocumentMut, Item, RawString, Value};

/// The value of an item as a text, a number and a list, without its quotes and layout.
fn meaning(item: &Item) -> (Option<&str>, Option<i64>, Vec<&str>) {
    let list = item.as_array().into_iter().flatten().filter_map(toml_edit::Value::as_str).collect();
    (item.as_str(), item.as_integer(), list)
}

/// Changes the value of `key` if it differs from `new`, and keeps the comment after the value. If the key is missing,
/// adds the key with `comment` before it.
pub(super) fn set(document: &mut DocumentMut, key: &str, new: Item, comment: &str) {
    match document.get_mut(key) {
        Some(old) if meaning(old) == meaning(&new) => {}
        Some(old) if old.is_array() && new.is_array() => {
            if let (Some(old), Some(new)) = (old.as_array_mut(), new.as_array()) {
                set_list(old, new);
            }
        }
        Some(old) => {
            let decor = old.as_value().map(|old| old.decor().clone());
            *old = new;
            if let (Some(value), Some(decor)) = (old.as_value_mut(), decor) {
                *value.decor_mut() = decor;
            }
        }
        None => {
            document.insert(key, new);
            if let Some(mut key) = document.key_mut(key) {
                key.leaf_decor_mut().set_prefix(comment);
            }
        }
    }
}

/// Changes the values of a list and keeps all comments. A comment stays before the value that it preceded; the
/// comments of removed values move to the end of the list.
fn set_list(list: &mut Array, new: &Array) {
    let prefix = |value: &Value| raw(value.decor().prefix());
    let mut end = raw(Some(list.trailing()));
    let layout = list.iter().last().map(|last| blank_of(&prefix(last))).unwrap_or_default();
    let mut old: Vec<Value> = list.iter().cloned().collect();
    // If the last value has no comma, the comment after it must come after the comma that is added now.
    if let Some(last) = old.last_mut() {
        let behind = raw(last.decor().suffix());
        last.decor_mut().set_suffix("");
        end = behind + &end;
    }
    let known = old.len();
    list.clear();
    for value in new {
        let at = old.iter().position(|old| old.as_str() == value.as_str());
        let mut value = match at {
            Some(at) => old.remove(at),
            None => value.clone().decorated(if list.is_empty() { "" } else { " " }, ""),
        };
        if at.is_none() && known > 0 && layout.contains('\n') {
            // The comment after the previous last value stays on the line of that value.
            let comment = std::mem::take(&mut end);
            let comment = comment.trim_end_matches([' ', '\t', '\n']);
            value.decor_mut().set_prefix(format!("{comment}{layout}"));
            end = "\n".to_owned();
        }
        list.push_formatted(value);
    }
    let left: String = old.iter().map(prefix).filter(|text| text.contains('#')).collect();
    let left = left.trim_end_matches([' ', '\t']);
    list.set_trailing(format!("{left}{end}"));
    list.set_trailing_comma(end.contains('\n'));
}

fn raw(text: Option<&RawString>) -> String {
    text.and_then(RawString::as_str).unwrap_or_default().to_owned()
}

/// The last line break of a text, with the blanks after it.
fn blank_of(text: &str) -> String {
    text.rfind('\n').map(|at| text[at..].to_owned()).unwrap_or_default()
}
