import HTTPTypes
import Hummingbird
import NIOCore
import Wire
import WireProtocols

/// `/v1/files`.
struct FileRoutes: Sendable {
    /// What a file may be for; all are kept alike.
    static let purposes: Set<String> = ["assistants", "user_data", "batch", "fine-tune", "vision", "evals"]
    /// Longest text field of an upload form, in bytes.
    private static let maximumFieldSize = 1_024
    /// What a form may hold beside its file, in bytes.
    private static let formOverhead = 64 * 1024

    let configuration: GatewayConfiguration
    let store: StoreClient

    func add(to router: Router<GatewayContext>) {
        router.post("/v1/files") { request, context in try await upload(request, context) }
        router.get("/v1/files") { request, context in
            var page = try Listing.page(request)
            page.purpose = request.uri.queryParameters["purpose"].map { String($0) } ?? ""
            let response = try await store.listFiles(page, scope: context.scope)
            return Listing.response(response.files.map(Self.json), hasMore: response.hasMore_p)
        }
        router.get("/v1/files/:id") { _, context in
            let id = try context.parameters.require("id")
            return Response.json(Self.json(try await store.getFile(id, scope: context.scope)))
        }
        router.delete("/v1/files/:id") { _, context in
            let id = try context.parameters.require("id")
            return Listing.deletion(try await store.deleteFile(id, scope: context.scope), object: "file")
        }
        router.get("/v1/files/:id/content") { _, context in
            try await content(try context.parameters.require("id"), context)
        }
    }

    static func json(_ file: Fathom_Store_V1_File) -> JSONValue {
        [
            "id": .string(file.id), "object": "file", "bytes": .integer(Int(clamping: file.sizeBytes)),
            "created_at": .integer(Int(clamping: file.createdAt)), "expires_at": Expiry.json(file.expiresAt),
            "filename": .string(file.filename), "purpose": .string(file.purpose), "status": "processed",
            "status_details": nil, "content_type": .string(file.contentType), "sha256": .string(file.sha256),
        ]
    }

    // MARK: Upload

    private struct Form {
        var spool: UploadSpool?
        var filename = ""
        var contentType = ""
        var fields: [String: String] = [:]
    }

    private func upload(_ request: Request, _ context: GatewayContext) async throws -> Response {
        guard let boundary = request.headers[.contentType].flatMap(MultipartParser.boundary) else {
            throw APIError.invalid(
                "Expected a body of type multipart/form-data with the fields 'file' and 'purpose'.",
                parameter: "file")
        }
        let limit = configuration.maximumUploadSize
        var reader = BodyReader(request, limit: limit + Self.formOverhead, what: "upload")
        let form = try await read(&reader, boundary: boundary)
        guard let spool = form.spool else { throw APIError.invalid("The form has no 'file'.", parameter: "file") }
        let purpose = form.fields["purpose"] ?? ""
        guard Self.purposes.contains(purpose) else {
            throw APIError.invalid(
                "'purpose' must be one of \(Self.purposes.sorted().joined(separator: ", ")).", parameter: "purpose")
        }
        var header = Fathom_Store_V1_FileHeader()
        header.filename = form.filename
        header.purpose = purpose
        header.contentType = form.contentType
        header.sizeBytes = UInt64(spool.size)
        header.expiresAfterSeconds = try Expiry.seconds(form: form.fields)
        let file = try await store.createFile(header, pieces: { try spool.next() }, scope: context.scope)
        return .json(Self.json(file))
    }

    /// Reads a form, its file onto the spool. Nothing reaches the store before the closing boundary was seen.
    private func read(_ reader: inout BodyReader, boundary: String) async throws -> Form {
        var parser = MultipartParser(boundary: boundary)
        var form = Form()
        var part: MultipartPart?
        var text: [UInt8] = []
        func closePart() {
            if let part, part.name != "file" { form.fields[part.name] = String(decoding: text, as: UTF8.self) }
            text = []
        }
        do {
            while let bytes = try await reader.next() {
                for event in try parser.consume(bytes) {
                    switch event {
                    case .part(let next):
                        closePart()
                        part = next
                        if next.name == "file" { try begin(next, &form) }
                    case .data(let data) where part?.name == "file":
                        guard (form.spool?.size ?? 0) + data.readableBytes <= configuration.maximumUploadSize else {
                            throw APIError.tooLarge(limit: configuration.maximumUploadSize, what: "file")
                        }
                        try form.spool?.append(data)
                    case .data(let data):
                        guard text.count + data.readableBytes <= Self.maximumFieldSize else {
                            throw APIError.invalid("The form field '\(part?.name ?? "")' is too long.")
                        }
                        text.append(contentsOf: data.readableBytesView)
                    case .end:
                        closePart()
                    }
                }
            }
        } catch let malformed as MultipartParser.Malformed {
            throw APIError.invalid("The form is malformed: \(malformed.reason).", parameter: "file")
        }
        guard parser.isComplete else {
            throw APIError.invalid(
                "The upload ended before its closing boundary; nothing was kept.", parameter: "file",
                code: "truncated_upload")
        }
        try form.spool?.finish()
        return form
    }

    private func begin(_ part: MultipartPart, _ form: inout Form) throws {
        guard form.spool == nil else { throw APIError.invalid("The form has two files.", parameter: "file") }
        guard let filename = part.filename, !filename.isEmpty, filename.utf8.count <= 512 else {
            throw APIError.invalid("'file' needs a file name of at most 512 bytes.", parameter: "file")
        }
        form.spool = try UploadSpool(directory: configuration.stateDirectory)
        // A name, never a path.
        form.filename = String(filename.split(whereSeparator: { $0 == "/" || $0 == "\\" }).last ?? "file")
        form.contentType = part.contentType ?? "application/octet-stream"
    }

    // MARK: Download

    private func content(_ id: String, _ context: GatewayContext) async throws -> Response {
        let file = try await store.getFile(id, scope: context.scope)
        let chunks = try await store.readFile(id, scope: context.scope)
        var headers = HTTPFields()
        // Never a type that a browser would run.
        headers[.contentType] = "application/octet-stream"
        headers[.contentDisposition] = "attachment"
        let body = ResponseBody(contentLength: Int(clamping: file.sizeBytes)) { writer in
            for try await chunk in chunks {
                if let bytes = chunk.attachment { try await writer.write(bytes) }
            }
            try await writer.finish(nil)
        }
        return Response(status: .ok, headers: headers, body: body)
    }
}
