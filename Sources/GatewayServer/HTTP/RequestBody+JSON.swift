import HTTPTypes
import Hummingbird
import NIOCore

extension Request {
    /// Reads the whole body as a JSON object. The content type is not looked at: what counts is what came.
    ///
    /// - Throws: `APIError` 413 above `limit` bytes, at once when the header announces them; 400 for what is no JSON
    ///   object, with the position.
    func jsonObject(limit: Int) async throws -> JSONObject {
        var reader = BodyReader(self, limit: limit, what: "request body")
        var bytes: [UInt8] = []
        while let piece = try await reader.next() { bytes.append(contentsOf: piece.readableBytesView) }
        guard !bytes.isEmpty else {
            throw APIError.invalid("The request has no body; expected a JSON object.", code: "invalid_json")
        }
        let value = try JSONParser.parse(bytes)
        guard let object = value.object else {
            throw APIError.invalid("The request body is \(value.kind); expected a JSON object.", code: "invalid_json")
        }
        return object
    }
}
