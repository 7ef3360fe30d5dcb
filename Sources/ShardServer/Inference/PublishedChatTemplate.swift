import Foundation
import InferenceCore
import ModelFiles

/// The chat template that a model was published with.
enum PublishedChatTemplate {
    private static let maxBytes = 16 << 20

    /// The source of the template; nil when there is none.
    ///
    /// A GGUF file has it in its metadata. A folder has it in `chat_template.jinja`, or in `tokenizer_config.json` as one
    /// text or as several with names, of which `default` is taken.
    /// - Throws: `ModelFileError` for metadata of another type; ``InferenceError`` `dataLoss` for files that are broken or
    ///   too large.
    static func source(of model: any TensorSource) throws -> String? {
        if let file = model as? GGUFFile { return try file.metadata.stringIfPresent("tokenizer.chat_template") }
        if let data = try contents("chat_template.jinja", of: model) {
            guard let text = String(validating: data, as: UTF8.self) else { throw broken("chat_template.jinja", model) }
            return text
        }
        guard let data = try contents("tokenizer_config.json", of: model) else { return nil }
        guard let settings = try? JSONDecoder().decode(Settings.self, from: data) else {
            throw broken("tokenizer_config.json", model)
        }
        return settings.template?.source
    }

    private struct Settings: Decodable {
        var template: Template?

        enum CodingKeys: String, CodingKey {
            case template = "chat_template"
        }
    }

    private enum Template: Decodable {
        case one(String)
        case named([Named])

        struct Named: Decodable {
            var name: String
            var template: String
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let text = try? container.decode(String.self) {
                self = .one(text)
            } else {
                self = .named(try container.decode([Named].self))
            }
        }

        var source: String? {
            switch self {
            case .one(let text): text
            case .named(let list): list.first { $0.name == "default" }?.template
            }
        }
    }

    private static func contents(_ name: String, of model: any TensorSource) throws -> Data? {
        let path = model.path + "/" + name
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        guard let data = try? Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe),
            data.count <= maxBytes
        else { throw broken(name, model) }
        return data
    }

    private static func broken(_ name: String, _ model: any TensorSource) -> InferenceError {
        InferenceError(code: .dataLoss, message: "\(model.path)/\(name) cannot be read as a chat template")
    }
}
