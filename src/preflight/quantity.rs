//! Quantities of Kubernetes: `500m`, `2Gi`, `1e3` (apimachinery's resource.Quantity).

/// What each suffix multiplies by.
const SUFFIXES: [(&str, f64); 15] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];

/// The number that a quantity stands for. None where it is none.
pub(super) fn quantity(text: &str) -> Option<f64> {
    let suffix = SUFFIXES.into_iter().find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, factor)));
    let (number, factor) = suffix.unwrap_or((text, 1.0));
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit() || b".+-eE".contains(&byte));
    number.parse::<f64>().ok().filter(|number| is_plain && number.is_finite()).map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_compared_by_what_they_stand_for() {
        let cases =
            [("500m", 0.5), ("2", 2.0), ("2Ki", 2048.0), ("1e3", 1000.0), ("1E", 1e18), ("0.5Gi", 536_870_912.0)];
        for (text, expected) in cases {
            let found = quantity(text).unwrap();
            assert!((found - expected).abs() < expected * 1e-12, "{text}: {found}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_none() {
        for text in ["", "m", "many", "inf", "NaN", "1 Gi", "2GiB", "--1"] {
            assert_eq!(quantity(text), None, "{text}");
        }
    }
}
