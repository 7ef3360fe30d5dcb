import Foundation
import Hummingbird
import WireProtocols

/// `POST /v1/embeddings`.
struct EmbeddingRoutes: Sendable {
    /// Most inputs in one request.
    static let maximumInputCount = 2_048
    /// Inputs in one upstream call.
    private static let batchSize = 256

    let configuration: GatewayConfiguration
    let store: StoreClient?

    /// What is embedded.
    private enum Input {
        case text(String)
        case tokens([UInt32])
    }

    func add(to router: Router<GatewayContext>) {
        router.post("/v1/embeddings") { request, context in try await embed(request, context) }
    }

    private func embed(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let fields = JSONFields(try await request.jsonObject(limit: configuration.maximumBodySize))
        let model = try fields.requiredString("model")
        guard model == OperationalRoutes.embeddingModel else {
            throw APIError.modelNotFound([OperationalRoutes.embeddingModel])
        }
        guard fields["dimensions"] == nil else {
            throw APIError.invalid("'dimensions' is not supported: the model has one size.", parameter: "dimensions")
        }
        let format = try fields.string("encoding_format") ?? "float"
        guard format == "float" || format == "base64" else {
            throw APIError.invalid("'encoding_format' must be 'float' or 'base64'.", parameter: "encoding_format")
        }
        let inputs = try Self.inputs(fields)
        guard let store else { throw APIError.unavailable("This gateway has no embedding model.") }
        var embeddings: [Fathom_Store_V1_Embedding] = []
        var tokenCount = 0
        for batch in stride(from: 0, to: inputs.count, by: Self.batchSize) {
            let end = min(batch + Self.batchSize, inputs.count)
            let response = try await store.embed(Self.request(inputs[batch..<end]), scope: context.scope)
            embeddings += response.embeddings
            tokenCount += Int(response.promptTokens)
        }
        guard embeddings.count == inputs.count else { throw APIError.internalError }
        context.record.update {
            $0.model = model
            $0.usage = Usage(promptTokens: tokenCount)
        }
        return .json(Self.response(embeddings, model: model, isBase64: format == "base64", tokenCount: tokenCount))
    }

    private static func inputs(_ fields: JSONFields) throws(APIError) -> [Input] {
        let expected = "a string, an array of strings, an array of token ids, or an array of arrays of token ids"
        guard let value = fields["input"] else { throw fields.missing("input") }
        if let text = value.string { return [.text(try checked(text))] }
        guard let elements = value.array else { throw fields.wrongType("input", expected, value) }
        guard let first = elements.first else { throw .invalid("'input' must not be empty.", parameter: "input") }
        if first.integer != nil { return [.tokens(try tokens(elements, fields))] }
        guard elements.count <= maximumInputCount else {
            throw fields.outOfRange("input", "\(elements.count) inputs", "with at most \(maximumInputCount) inputs")
        }
        var inputs: [Input] = []
        for element in elements {
            switch (element, first) {
            case (.string(let text), .string): inputs.append(.text(try checked(text)))
            case (.array(let ids), .array): inputs.append(.tokens(try tokens(ids, fields)))
            default: throw fields.wrongType("input", expected, element)
            }
        }
        return inputs
    }

    private static func checked(_ text: String) throws(APIError) -> String {
        guard !text.isEmpty else { throw .invalid("'input' must not hold an empty string.", parameter: "input") }
        return text
    }

    private static func tokens(_ elements: [JSONValue], _ fields: JSONFields) throws(APIError) -> [UInt32] {
        guard !elements.isEmpty else { throw .invalid("'input' must not hold an empty array.", parameter: "input") }
        var ids: [UInt32] = []
        for element in elements {
            guard let id = element.integer, let token = UInt32(exactly: id) else {
                throw fields.wrongType("input", "an array of token ids", element)
            }
            ids.append(token)
        }
        return ids
    }

    private static func request(_ inputs: ArraySlice<Input>) -> Fathom_Store_V1_EmbedRequest {
        var request = Fathom_Store_V1_EmbedRequest()
        for input in inputs {
            switch input {
            case .text(let text): request.inputs.append(text)
            case .tokens(let ids):
                var tokens = Fathom_Store_V1_EmbedTokens()
                tokens.ids = ids
                request.tokenInputs.append(tokens)
            }
        }
        return request
    }

    private static func response(
        _ embeddings: [Fathom_Store_V1_Embedding], model: String, isBase64: Bool, tokenCount: Int
    ) -> [UInt8] {
        var writer = JSONWriter()
        writer.object { root in
            root.member("object", "list")
            root.list(
                "data",
                { data in
                    for (index, embedding) in embeddings.enumerated() {
                        data.object { entry in
                            entry.member("object", "embedding")
                            entry.member("index", index)
                            if isBase64 {
                                entry.member("embedding", base64(embedding.values))
                            } else {
                                entry.list("embedding", { for value in embedding.values { $0.float(value) } })
                            }
                        }
                    }
                })
            root.member("model", model)
            root.member("usage") { usage in
                usage.member("prompt_tokens", tokenCount)
                usage.member("total_tokens", tokenCount)
            }
        }
        return writer.bytes
    }

    /// Little-endian 32-bit floats.
    static func base64(_ values: [Float]) -> String {
        var data = Data(capacity: values.count * 4)
        for value in values { withUnsafeBytes(of: value.bitPattern.littleEndian) { data.append(contentsOf: $0) } }
        return data.base64EncodedString()
    }
}
