import Foundation

/// What `fathom model quantize` notes about a file that it wrote: a JSON file beside it, which `import` takes along and
/// `card` shows.
package enum QuantizationRecord {
    /// Its name in a model's folder.
    package static let fileName = "quantization.json"

    /// Its name beside the GGUF file at `path`: `net-q4.gguf` has `net-q4.quantization.json`.
    package static func path(beside path: String) -> String {
        (path.hasSuffix(".gguf") ? String(path.dropLast(5)) : path) + "." + fileName
    }
}
