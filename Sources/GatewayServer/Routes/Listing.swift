import Hummingbird
import WireProtocols

/// Cursor pagination, as OpenAI has it.
enum Listing {
    /// Reads `limit`, `after` and `order` from the query.
    ///
    /// - Throws: 400 naming the parameter.
    static func page(_ request: Request) throws(APIError) -> Fathom_Store_V1_ListRequest {
        var page = Fathom_Store_V1_ListRequest()
        let query = request.uri.queryParameters
        if let text = query["limit"] {
            guard let limit = Int(text), (1...100).contains(limit) else {
                throw .invalid("'limit' must be a number from 1 to 100.", parameter: "limit")
            }
            page.limit = UInt32(limit)
        }
        if let after = query["after"] { page.after = String(after) }
        switch query["order"] {
        case nil, "desc": break
        case "asc": page.ascending = true
        default: throw .invalid("'order' must be 'asc' or 'desc'.", parameter: "order")
        }
        guard query["before"] == nil else {
            throw .invalid("'before' is not supported; use 'after' with 'order'.", parameter: "before")
        }
        return page
    }

    /// A page of a listing.
    static func response(_ entries: [JSONValue], hasMore: Bool) -> Response {
        .json([
            "object": "list", "data": .array(entries), "first_id": entries.first?["id"] ?? .null,
            "last_id": entries.last?["id"] ?? .null, "has_more": .bool(hasMore),
        ])
    }

    /// What deleting answers.
    static func deletion(_ response: Fathom_Store_V1_DeleteResponse, object: String) -> Response {
        .json(["id": .string(response.id), "object": .string(object), "deleted": .bool(response.deleted)])
    }
}
