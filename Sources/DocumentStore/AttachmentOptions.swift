import RetrievalCore

/// How a file is attached to a vector store.
package struct AttachmentOptions: Sendable, Equatable {
    package var chunking: Chunker.Parameters
    /// JSON object of string, number or boolean values, or empty.
    package var attributesJSON: String
    /// Which document of the vector store the file is a version of, at most 1,024 bytes; empty: of none, or of the one
    /// it is a version of already.
    package var documentID: String
    /// The file is deleted with its last attachment.
    package var ownsFile: Bool

    package init(
        chunking: Chunker.Parameters = .init(), attributesJSON: String = "", documentID: String = "",
        ownsFile: Bool = false
    ) {
        self.chunking = chunking
        self.attributesJSON = attributesJSON
        self.documentID = documentID
        self.ownsFile = ownsFile
    }

    func validate() throws {
        do {
            try chunking.validate()
        } catch let error as RetrievalError {
            throw StoreError(code: .invalidArgument, message: error.message)
        }
        try StoreValidation.attributes(attributesJSON)
        try StoreValidation.text(documentID, "document id", maxBytes: 1024)
    }
}
