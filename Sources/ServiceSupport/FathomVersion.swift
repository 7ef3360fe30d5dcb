/// The version every executable of the project reports (`--version`, the cluster map, `fathom_build_info`).
package enum FathomVersion {
    /// Semantic version of this source tree.
    package static let current = "0.1.0"
}
