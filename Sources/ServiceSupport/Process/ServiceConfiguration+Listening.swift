import Wire

extension ServiceConfiguration {
    /// The error for an address that cannot be listened on: "--port: 127.0.0.1:8080 is in use by another process".
    ///
    /// - Parameters:
    ///   - hostKey: the setting of the host.
    ///   - portKey: the setting of the port.
    package func cannotListen(_ error: ListenError, hostKey: String, portKey: String) -> ConfigurationError {
        let origin = origin(of: error.isAboutPort ? portKey : hostKey)
        return ConfigurationError(.invalidValue, "\(origin): \(error)", cause: error)
    }
}
