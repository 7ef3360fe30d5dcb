import DocumentStore
import Wire
import WireProtocols

extension StoreRPCs {
    func addVectorStores(to router: inout RPCRouter) {
        router.unary(StoreService.createVectorStore) { request, context in
            try await serve(context) { tenant in
                try await store.createVectorStore(
                    tenant: tenant, name: request.name, metadata: request.metadata, fileIDs: request.fileIds,
                    chunking: request.chunking.native(), expiresAfterDays: Int(request.expiresAfterDays)
                ).proto()
            }
        }
        router.unary(StoreService.getVectorStore) { request, context in
            try await serve(context) { try await store.vectorStore(tenant: $0, request.id).proto() }
        }
        router.unary(StoreService.listVectorStores) { request, context in
            try await serve(context) { tenant in
                let listing = try await store.vectorStores(tenant: tenant, page: request.native())
                var response = Fathom_Store_V1_ListVectorStoresResponse()
                response.vectorStores = listing.items.map { $0.proto() }
                response.hasMore_p = listing.hasMore
                return response
            }
        }
        router.unary(StoreService.deleteVectorStore) { request, context in
            try await serve(context) { tenant in
                try await store.deleteVectorStore(tenant: tenant, request.id)
                return Self.deleted(request.id)
            }
        }
        addAttachments(to: &router)
    }

    private func addAttachments(to router: inout RPCRouter) {
        router.unary(StoreService.attachFile) { request, context in
            try await serve(context) { tenant in
                try await store.attach(
                    tenant: tenant, fileID: request.fileID, to: request.vectorStoreID, options: request.native()
                ).proto()
            }
        }
        router.unary(StoreService.getVectorStoreFile) { request, context in
            try await serve(context) { tenant in
                try await store.attachment(tenant: tenant, fileID: request.fileID, in: request.vectorStoreID).proto()
            }
        }
        router.unary(StoreService.listVectorStoreFiles) { request, context in
            try await serve(context) { tenant in
                let listing = try await store.attachments(
                    tenant: tenant, in: request.vectorStoreID, page: request.page.native(),
                    status: AttachmentRecord.Status.filter(request.filter), documentID: request.documentID)
                var response = Fathom_Store_V1_ListVectorStoreFilesResponse()
                response.files = listing.items.map { $0.proto() }
                response.hasMore_p = listing.hasMore
                return response
            }
        }
        router.unary(StoreService.detachFile) { request, context in
            try await serve(context) { tenant in
                try await store.detach(tenant: tenant, fileID: request.fileID, from: request.vectorStoreID)
                return Self.deleted(request.fileID)
            }
        }
    }
}
