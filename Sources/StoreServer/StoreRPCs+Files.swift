import DocumentStore
import NIOCore
import Wire
import WireProtocols

extension StoreRPCs {
    /// Bytes of one message of ReadFile.
    static let readPieceBytes = 256 << 10

    func addFiles(to router: inout RPCRouter) {
        router.bidirectional(StoreService.createFile) { requests, writer, context in
            try await serve(context) { tenant in
                try await writer.write(try await createFile(tenant, requests).proto())
            }
        }
        router.unary(StoreService.getFile) { request, context in
            try await serve(context) { try await store.file(tenant: $0, request.id).proto() }
        }
        router.unary(StoreService.listFiles) { request, context in
            try await serve(context) { tenant in
                let listing = try await store.files(
                    tenant: tenant, page: request.native(), purpose: request.purpose.isEmpty ? nil : request.purpose)
                var response = Fathom_Store_V1_ListFilesResponse()
                response.files = listing.items.map { $0.proto() }
                response.hasMore_p = listing.hasMore
                return response
            }
        }
        router.unary(StoreService.deleteFile) { request, context in
            try await serve(context) { tenant in
                try await store.deleteFile(tenant: tenant, request.id)
                return Self.deleted(request.id)
            }
        }
        router.serverStreaming(StoreService.readFile) { request, writer, context in
            try await serve(context) { tenant in
                let bytes = try await store.content(tenant: tenant, fileID: request.id).bytes
                for start in stride(from: 0, to: bytes.count, by: Self.readPieceBytes) {
                    var chunk = Fathom_Store_V1_FileChunk()
                    chunk.offset = UInt64(start)
                    let piece = bytes[start..<min(start + Self.readPieceBytes, bytes.count)]
                    try await writer.write(chunk, attachment: ByteBuffer(bytes: piece))
                }
            }
        }
    }

    /// Receives an upload. Whatever ends it before its last byte is stored leaves nothing behind.
    private func createFile(
        _ tenant: String, _ requests: RPCRequests<Fathom_Store_V1_CreateFileRequest>
    ) async throws -> FileRecord {
        var requests = requests.makeAsyncIterator()
        guard let first = try await requests.next(), first.message.hasHeader else {
            throw RPCError(.invalidArgument, "the first message of an upload must carry the header")
        }
        let upload = try await store.beginUpload(tenant: tenant, header: first.message.header.native())
        defer { upload.abort() }
        var next: RPCMessage<Fathom_Store_V1_CreateFileRequest>? = first
        while let message = next {
            if let attachment = message.attachment, attachment.readableBytes > 0 {
                try await upload.append(Array(attachment.readableBytesView))
            }
            next = try await requests.next()
            if next?.message.hasHeader == true {
                throw RPCError(.invalidArgument, "only the first message of an upload may carry a header")
            }
        }
        return try await upload.finish()
    }
}
