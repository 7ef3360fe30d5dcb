/// The part of OpenAI's JSON that the tool speaks.

struct ChatMessage: Codable, Sendable, Equatable {
    var role: String
    var content: String
}

struct ChatRequest: Encodable, Sendable {
    struct StreamOptions: Encodable, Sendable {
        var includeUsage = true

        enum CodingKeys: String, CodingKey { case includeUsage = "include_usage" }
    }

    struct Tool: Encodable, Sendable {
        var type = "file_search"
        var vectorStoreIDs: [String]
        var maximumResults: Int?

        enum CodingKeys: String, CodingKey {
            case type
            case vectorStoreIDs = "vector_store_ids"
            case maximumResults = "max_num_results"
        }
    }

    var model: String
    var messages: [ChatMessage]
    var maxTokens: Int?
    var temperature: Double?
    var seed: Int?
    var tools: [Tool]?
    var ignoreEOS: Bool?
    var stream = true
    var streamOptions = StreamOptions()

    enum CodingKeys: String, CodingKey {
        case model, messages, temperature, seed, tools, stream
        case maxTokens = "max_tokens"
        case ignoreEOS = "ignore_eos"
        case streamOptions = "stream_options"
    }
}

struct ChatChunk: Decodable, Sendable {
    struct Choice: Decodable, Sendable {
        var delta: Delta?
        var finishReason: String?

        enum CodingKeys: String, CodingKey {
            case delta
            case finishReason = "finish_reason"
        }
    }

    struct Delta: Decodable, Sendable {
        var content: String?
        var annotations: [Annotation]?
    }

    struct Annotation: Decodable, Sendable {
        struct Citation: Decodable, Sendable {
            var fileID: String
            var filename: String
            var quote: String?

            enum CodingKeys: String, CodingKey {
                case filename, quote
                case fileID = "file_id"
            }
        }

        var fileCitation: Citation?

        enum CodingKeys: String, CodingKey { case fileCitation = "file_citation" }
    }

    struct Usage: Decodable, Sendable {
        var promptTokens: Int
        var completionTokens: Int

        enum CodingKeys: String, CodingKey {
            case promptTokens = "prompt_tokens"
            case completionTokens = "completion_tokens"
        }
    }

    /// Fathom's extension: what the answer was made from, in the first chunk.
    struct Extension: Decodable, Sendable {
        struct Source: Decodable, Sendable {
            var index: Int
            var filename: String
            var text: String
            var score: Double
            var headings: [String]?
        }

        var sources: [Source]?
    }

    var choices: [Choice]?
    var usage: Usage?
    var error: APIErrorBody.Detail?
    var fathom: Extension?
}

struct APIErrorBody: Decodable, Sendable {
    struct Detail: Decodable, Sendable {
        var message: String
    }

    var error: Detail
}

struct ObjectID: Decodable, Sendable {
    var id: String
}

struct VectorStoreObject: Decodable, Sendable {
    var id: String
    var name: String?
}

package struct VectorStoreFileObject: Decodable, Sendable {
    package struct Failure: Decodable, Sendable {
        package var code: String?
        package var message: String?
    }

    package var id: String
    package var status: String
    package var lastError: Failure?
    package var chunkCount: Int?
    /// Fathom's: which document it is a version of, how far its indexing is, and the SHA-256 of its bytes.
    package var documentID: String?
    package var indexedChunks: Int?
    package var sha256: String?

    enum CodingKeys: String, CodingKey {
        case id, status, sha256
        case lastError = "last_error"
        case chunkCount = "chunk_count"
        case documentID = "document_id"
        case indexedChunks = "indexed_chunks"
    }
}

struct ListObject<Element: Decodable & Sendable>: Decodable, Sendable {
    var data: [Element]
    var hasMore: Bool?

    enum CodingKeys: String, CodingKey {
        case data
        case hasMore = "has_more"
    }
}

/// The body of `/readyz`, as far as it matters here.
struct ReadinessMessage: Decodable {
    struct Parts: Decodable {
        var inference: Inference
    }

    struct Inference: Decodable {
        struct Model: Decodable {
            var state: String
        }

        var ready: Bool
        /// Why not, for people.
        var reason: String?
        var models: [Model]
    }

    var parts: Parts

    var isReady: Bool { parts.inference.ready }
    var reason: String? { parts.inference.reason }
    /// Whether there is nothing that waiting could bring.
    var isHopeless: Bool {
        !parts.inference.models.isEmpty && parts.inference.models.allSatisfy { $0.state == "failed" }
    }
}
