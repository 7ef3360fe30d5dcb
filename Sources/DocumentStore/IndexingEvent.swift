/// What became of an attachment.
package enum IndexingEvent: Sendable {
    case completed(vectorStoreID: String, fileID: String, chunks: Int)
    /// The attachment's status says why. `error` is for the log; it holds no content.
    case failed(vectorStoreID: String, fileID: String, code: String, error: any Error)
    /// The disk or the encoder's queue is full, its result could not be written down, or its tenant's database not be
    /// read (then the ids are empty). The tenant's indexing rests for `pause` and is tried again.
    case postponed(vectorStoreID: String, fileID: String, error: any Error, pause: Duration)
}
