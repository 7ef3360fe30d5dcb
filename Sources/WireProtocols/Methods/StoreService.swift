import Wire

/// Methods of `fathom.store.v1.Store`; proto/fathom/store/v1/store.proto says what each does.
package enum StoreService {
    package static let createFile = RPCMethod<Fathom_Store_V1_CreateFileRequest, Fathom_Store_V1_File>(
        "fathom.store.v1.Store/CreateFile", .bidirectional)
    package static let getFile = RPCMethod<Fathom_Store_V1_GetFileRequest, Fathom_Store_V1_File>(
        "fathom.store.v1.Store/GetFile", .unary)
    package static let listFiles = RPCMethod<Fathom_Store_V1_ListRequest, Fathom_Store_V1_ListFilesResponse>(
        "fathom.store.v1.Store/ListFiles", .unary)
    package static let deleteFile = RPCMethod<Fathom_Store_V1_GetFileRequest, Fathom_Store_V1_DeleteResponse>(
        "fathom.store.v1.Store/DeleteFile", .unary)
    package static let readFile = RPCMethod<Fathom_Store_V1_GetFileRequest, Fathom_Store_V1_FileChunk>(
        "fathom.store.v1.Store/ReadFile", .serverStreaming)

    package static let createVectorStore = RPCMethod<
        Fathom_Store_V1_CreateVectorStoreRequest, Fathom_Store_V1_VectorStore
    >("fathom.store.v1.Store/CreateVectorStore", .unary)
    package static let getVectorStore = RPCMethod<Fathom_Store_V1_GetVectorStoreRequest, Fathom_Store_V1_VectorStore>(
        "fathom.store.v1.Store/GetVectorStore", .unary)
    package static let listVectorStores = RPCMethod<
        Fathom_Store_V1_ListRequest, Fathom_Store_V1_ListVectorStoresResponse
    >(
        "fathom.store.v1.Store/ListVectorStores", .unary)
    package static let deleteVectorStore = RPCMethod<
        Fathom_Store_V1_GetVectorStoreRequest, Fathom_Store_V1_DeleteResponse
    >("fathom.store.v1.Store/DeleteVectorStore", .unary)

    package static let attachFile = RPCMethod<Fathom_Store_V1_AttachFileRequest, Fathom_Store_V1_VectorStoreFile>(
        "fathom.store.v1.Store/AttachFile", .unary)
    package static let getVectorStoreFile = RPCMethod<
        Fathom_Store_V1_VectorStoreFileRequest, Fathom_Store_V1_VectorStoreFile
    >("fathom.store.v1.Store/GetVectorStoreFile", .unary)
    package static let listVectorStoreFiles = RPCMethod<
        Fathom_Store_V1_ListVectorStoreFilesRequest, Fathom_Store_V1_ListVectorStoreFilesResponse
    >("fathom.store.v1.Store/ListVectorStoreFiles", .unary)
    package static let detachFile = RPCMethod<Fathom_Store_V1_VectorStoreFileRequest, Fathom_Store_V1_DeleteResponse>(
        "fathom.store.v1.Store/DetachFile", .unary)

    package static let search = RPCMethod<Fathom_Store_V1_SearchRequest, Fathom_Store_V1_SearchResponse>(
        "fathom.store.v1.Store/Search", .unary)
    package static let embed = RPCMethod<Fathom_Store_V1_EmbedRequest, Fathom_Store_V1_EmbedResponse>(
        "fathom.store.v1.Store/Embed", .unary)

    /// Name and shape of every method.
    package static let methods: [MethodDescription] = [
        MethodDescription(createFile), MethodDescription(getFile), MethodDescription(listFiles),
        MethodDescription(deleteFile), MethodDescription(readFile), MethodDescription(createVectorStore),
        MethodDescription(getVectorStore), MethodDescription(listVectorStores), MethodDescription(deleteVectorStore),
        MethodDescription(attachFile), MethodDescription(getVectorStoreFile), MethodDescription(listVectorStoreFiles),
        MethodDescription(detachFile), MethodDescription(search), MethodDescription(embed),
    ]
}
