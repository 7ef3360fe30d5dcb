import Encoder
import Foundation
import Testing

/// The encoder's files, and one loaded encoder for all tests.
enum TestModel {
    static var directory: String {
        let environment = ProcessInfo.processInfo.environment
        let models = environment["FATHOM_MODELS"] ?? NSHomeDirectory() + "/.fathom/models"
        return models + "/all-minilm-l6-v2"
    }

    private static let shared = Result { try SentenceEncoder(directory: directory, threads: 1) }

    static func encoder() throws -> SentenceEncoder {
        try #require(
            FileManager.default.fileExists(atPath: directory + "/model.safetensors"),
            "the encoder model is missing: run `make models`")
        return try shared.get()
    }
}
