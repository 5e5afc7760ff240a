//! Paint with an impasto bundle from raw RGB bytes: `cargo run -- DIR CONTENT.rgb STYLE.rgb STYLE_WIDTH STYLE_HEIGHT OUT.rgb N`.
//!
//! CONTENT.rgb has the size of the bundle's first result. The style loss is gram or gram-mean. Written against ort
//! 2.0.0-rc.10 and never compiled: see docs/embedding.md.
use std::{collections::HashMap, fs, path::Path};

use ort::{
    session::{Session, SessionInputValue},
    value::{DynValue, Tensor},
};
use serde_json::Value;

type Error = Box<dyn std::error::Error>;

/// A tensor of one of the types that a bundle has.
#[derive(Clone)]
enum Array {
    F32(Vec<i64>, Vec<f32>),
    F64(Vec<i64>, Vec<f64>),
    I64(Vec<i64>, Vec<i64>),
    U8(Vec<i64>, Vec<u8>),
}

impl Array {
    fn input(&self) -> Result<SessionInputValue<'static>, Error> {
        Ok(match self.clone() {
            Array::F32(shape, data) => Tensor::from_array((shape, data))?.into(),
            Array::F64(shape, data) => Tensor::from_array((shape, data))?.into(),
            Array::I64(shape, data) => Tensor::from_array((shape, data))?.into(),
            Array::U8(shape, data) => Tensor::from_array((shape, data))?.into(),
        })
    }

    fn output(value: &DynValue, dtype: &str) -> Result<Array, Error> {
        Ok(match dtype {
            "float32" => value.try_extract_tensor::<f32>().map(|(s, d)| Array::F32(s.to_vec(), d.to_vec()))?,
            "float64" => value.try_extract_tensor::<f64>().map(|(s, d)| Array::F64(s.to_vec(), d.to_vec()))?,
            "int64" => value.try_extract_tensor::<i64>().map(|(s, d)| Array::I64(s.to_vec(), d.to_vec()))?,
            _ => value.try_extract_tensor::<u8>().map(|(s, d)| Array::U8(s.to_vec(), d.to_vec()))?,
        })
    }

    fn floats(&self) -> &[f32] {
        if let Array::F32(_, data) = self { data } else { &[] }
    }
}

type Arrays = HashMap<String, Array>;

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A graph with the ports that the manifest gives it.
struct Graph<'a> {
    session: Session,
    entry: &'a Value,
}

impl<'a> Graph<'a> {
    fn open(folder: &Path, entry: &'a Value) -> Result<Self, Error> {
        let session = Session::builder()?.commit_from_file(folder.join(text(&entry["file"])))?;
        Ok(Graph { session, entry })
    }

    fn run(&mut self, given: &Arrays) -> Result<Arrays, Error> {
        let mut inputs = Vec::new();
        for port in list(&self.entry["inputs"]) {
            inputs.push((text(&port["name"]).to_owned(), given[text(&port["name"])].input()?));
        }
        let outputs = self.session.run(inputs)?;
        let mut found = Arrays::new();
        for port in list(&self.entry["outputs"]) {
            let name = text(&port["name"]);
            found.insert(name.to_owned(), Array::output(&outputs[name], text(&port["dtype"]))?);
        }
        Ok(found)
    }
}

fn initial(part: &Value, image: &[f32]) -> Array {
    let shape: Vec<i64> = list(&part["shape"]).iter().filter_map(Value::as_i64).collect();
    let count = shape.iter().product::<i64>() as usize;
    let start: Vec<f64> = list(&part["initial"]).iter().filter_map(Value::as_f64).collect();
    match text(&part["dtype"]) {
        "float64" if !start.is_empty() => Array::F64(shape, start),
        "float64" => Array::F64(shape, vec![0.0; count]),
        "int64" => Array::I64(shape, vec![0; count]),
        _ if text(&part["initial"]) == "image" => Array::F32(shape, image.to_vec()),
        _ => Array::F32(shape, vec![0.0; count]),
    }
}

/// The weight of a term: its factor, divided by the power of its targets where that is wanted.
fn weight(term: &Value, targets: &Arrays) -> f32 {
    let factor = term["factor"].as_f64().unwrap_or(0.0);
    let power = &term["power"];
    if power.is_null() {
        return factor as f32;
    }
    let mut total = 0.0;
    for name in list(&power["of"]) {
        let values = targets[text(name)].floats();
        let side = (values.len() as f64).sqrt() as usize;
        total += match text(&power["sum"]) {
            "trace" => (0..side).map(|i| f64::from(values[i * side + i])).sum::<f64>(),
            _ => values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>(),
        };
    }
    total /= power["divisor"].as_f64().unwrap_or(1.0);
    let base = if total == 0.0 { 1.0 } else { total };
    (factor / base.powi(power["exponent"].as_i64().unwrap_or(1) as i32)) as f32
}

fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [folder, content, style, wide, high, out, evaluations] = words.as_slice() else {
        return Err("usage: DIR CONTENT.rgb STYLE.rgb STYLE_WIDTH STYLE_HEIGHT OUT.rgb N".into());
    };
    let folder = Path::new(folder);
    let manifest: Value = serde_json::from_str(&fs::read_to_string(folder.join("manifest.json"))?)?;
    if text(&manifest["settings"]["init"]) == "noise" {
        return Err("the bundle starts from noise, and this program from the content image: make it with --init content".into());
    }
    let scale = list(&manifest["results"][0]["scales"]).last().ok_or("the bundle has no scales")?;
    let size = &manifest["sizes"][scale["size"].as_u64().unwrap_or(0) as usize];
    let sides = (size["width"].as_i64().unwrap_or(0), size["height"].as_i64().unwrap_or(0));

    let mut pixels = Graph::open(folder, &manifest["pixels"])?;
    let mut features = Graph::open(folder, &manifest["targets"])?;
    let mut images = Vec::new();
    for (file, (width, height)) in [(content, sides), (style, (wide.parse()?, high.parse()?))] {
        let picture = Array::U8(vec![1, height, width, 3], fs::read(file)?);
        images.push(pixels.run(&HashMap::from([("picture".to_owned(), picture)]))?);
    }
    let (of_content, of_style) = (features.run(&images[0])?, features.run(&images[1])?);
    let mut values: Arrays = Arrays::new();
    for name in list(&scale["terms"]).iter().flat_map(|term| list(&term["targets"])).map(text) {
        let from = if name.starts_with("content_") { &of_content } else { &of_style };
        values.insert(name.to_owned(), from.get(name).ok_or(format!("no target {name}"))?.clone());
    }
    let weights: Vec<f32> = list(&scale["terms"]).iter().map(|term| weight(term, &values)).collect();
    let weights = Array::F32(vec![1, weights.len() as i64], weights);
    for name in ["weights", "coefficients"] {
        values.insert(name.to_owned(), weights.clone());
    }
    values.insert("limit".to_owned(), Array::F64(vec![1, 1], vec![1e300]));
    values.insert("image".to_owned(), images[0]["image"].clone());
    for part in list(&size["step"]["state"]) {
        values.insert(text(&part["name"]).to_owned(), initial(part, images[0]["image"].floats()));
    }

    let mut objective = Graph::open(folder, &size["objective"])?;
    let mut step = Graph::open(folder, &size["step"])?;
    for number in 1..=evaluations.parse::<usize>()? {
        values.extend(objective.run(&values)?);
        println!("{number} {}", values["loss"].floats()[0]);
        let outputs = step.run(&values)?;
        for part in list(&size["step"]["state"]) {
            values.insert(text(&part["name"]).to_owned(), outputs[text(&part["next"])].clone());
        }
        for name in ["image", "weights", "picture"] {
            if let Some(value) = outputs.get(name) {
                values.insert(name.to_owned(), value.clone());
            }
        }
    }
    if let Array::U8(_, bytes) = &values["picture"] {
        fs::write(out, bytes)?;
    }
    Ok(())
}
