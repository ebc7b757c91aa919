//! The syntax of nginx's configuration: directives and blocks.

/// Splits the text into directives, each a list of words. `{` ends the list that opens a block; `}` closes it.
pub fn directives(text: &str) -> Vec<Vec<String>> {
    let (mut all, mut words, mut word) = (Vec::new(), Vec::new(), String::new());
    let mut letters = text.chars();
    let end_of = |word: &mut String, words: &mut Vec<String>| {
        if !word.is_empty() {
            words.push(std::mem::take(word));
        }
    };
    while let Some(letter) = letters.next() {
        match letter {
            '#' if word.is_empty() => _ = letters.find(|letter| *letter == '\n'),
            '"' | '\'' if word.is_empty() => {
                word.extend(letters.by_ref().take_while(|other| *other != letter))
            }
            ';' | '{' | '}' => {
                end_of(&mut word, &mut words);
                if letter != ';' {
                    words.push(letter.to_string());
                }
                if !words.is_empty() {
                    all.push(std::mem::take(&mut words));
                }
            }
            _ if letter.is_whitespace() => end_of(&mut word, &mut words),
            _ => word.push(letter),
        }
    }
    all
}

/// Whether each directive ends with a semicolon, and each block with a closing brace.
pub fn directives_end(text: &str) -> bool {
    let all = directives(text);
    let count =
        |brace: &str| all.iter().filter(|words| words.last().is_some_and(|last| last == brace)).count();
    // `directives` omits a directive without an end, so adding an end must not add a directive.
    count("{") == count("}") && directives(&format!("{text}\n;")).len() == all.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_seen() {
        for whole in ["", "# a {\n", "a b;", "a { b 'c ; }' \"d\"; }\n", "a {\n}\n# b\n"] {
            assert!(directives_end(whole), "{whole}");
        }
        for cut in ["a", "a b;\nc", "a {", "a { b; ", "}", "a; }"] {
            assert!(!directives_end(cut), "{cut}");
        }
    }
}
