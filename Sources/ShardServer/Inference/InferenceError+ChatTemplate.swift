import ChatTemplate
import InferenceCore
import ModelFiles

extension InferenceError {
    private static let maxReasonScalars = 400

    /// What a chat template had against a request, in its own words.
    ///
    /// They may quote the conversation. They go to whoever sent it, and nowhere else: the error has no cause, of which a
    /// log could tell.
    init(template error: ChatTemplateError) {
        let words = String(String.UnicodeScalarView(error.message.unicodeScalars.prefix(Self.maxReasonScalars)))
            .printable
        let message =
            switch error.code {
            case .raised: "the model's chat template refuses these messages: \(words)"
            default:
                "the model's chat template fails for these messages"
                    + (error.line.map { " in line \($0)" } ?? "") + ": \(words)"
            }
        self.init(code: .invalidRequest, message: message)
    }
}
