import Foundation

/// What a user gives for a model to serve: `MODEL`, or `NAME=MODEL` to say what clients call it.
package struct ModelArgument: Sendable, Equatable {
    /// nil where none was given.
    package var name: String?
    /// A path, or what the registry knows.
    package var model: String

    /// A text that is a path of something that is there is a model without a name. Else what is before the first "=" is a
    /// name, which may hold a slash as hubs' names do, unless it can only be a path.
    package init(_ text: String) {
        self.init(text) { FileManager.default.fileExists(atPath: $0) }
    }

    init(_ text: String, exists: (String) -> Bool) {
        guard let equals = text.firstIndex(of: "="), equals > text.startIndex,
            !["/", "./", "../", "~/"].contains(where: { text.hasPrefix($0) }), !exists(text)
        else {
            (name, model) = (nil, text)
            return
        }
        (name, model) = (String(text[..<equals]), String(text[text.index(after: equals)...]))
    }

    /// Why `name` cannot be served under, or nil: names stand in paths of the API, in headers and in logs.
    package static func problem(withName name: String) -> String? {
        guard !name.isEmpty, name.utf8.count <= 256 else { return "it has \(name.utf8.count) bytes, expected 1...256" }
        guard !name.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
            return "it holds control characters"
        }
        return name.hasPrefix("/") || name.hasSuffix("/") || name.contains("//") ? "a part of it is empty" : nil
    }
}
