import AsyncHTTPClient
import Encoder
import Foundation
import InferenceCore
import ModelRegistry
import NIOCore
import Tokenization
import Wire

/// Any error as a sentence for people: what, which file, what to do. No names of types and cases.
package enum ErrorText {
    package static func describe(_ error: any Error) -> String {
        switch error {
        case let error as CommandError: error.message
        case let error as RPCError: rpc(error)
        case let error as EncoderError: error.message + (error.cause.map { ": " + describe($0) } ?? "")
        case let error as InferenceError: error.message
        case let error as TokenizationError: error.message
        case let error as DecodingError: decoding(error)
        case is ServerSentEventParser.TooLong: "the gateway sent an event that is too long"
        case is CancellationError: "it was cancelled"
        case is HTTPClientError, is IOError, is ChannelError, is NIOTooManyBytesError: NetworkErrorText.describe(error)
        case let error as CocoaError: file(error)
        case let error as POSIXError: String(cString: strerror(Int32(error.code.rawValue)))
        default: "\(error)"
        }
    }

    private static func rpc(_ error: RPCError) -> String {
        error.message.isEmpty ? "the service failed (\(error.code))" : error.message
    }

    private static func decoding(_ error: DecodingError) -> String {
        switch error {
        case .keyNotFound(let key, _): "\(key.stringValue) is missing in it"
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            context.codingPath.isEmpty
                ? "it is not the JSON that is expected"
                : "\(context.codingPath.map(\.stringValue).joined(separator: ".")) is not what it should be"
        case .dataCorrupted: "it is not JSON"
        @unknown default: "it is not the JSON that is expected"
        }
    }

    /// Foundation says "couldn't be saved" and keeps the reason below.
    private static func file(_ error: CocoaError) -> String {
        let reason = (error.userInfo[NSUnderlyingErrorKey] as? POSIXError).map {
            String(cString: strerror(Int32($0.code.rawValue)))
        }
        guard let path = error.filePath else { return reason ?? error.localizedDescription }
        return "\(path): \(reason ?? error.localizedDescription)"
    }
}
