//! The binding tree: the module `graphbit._graphbit`, declarations only.
//!
//! Every verb of a client is one future of the core and two doors of [`bridge`]. Nothing here decides
//! anything the core could decide, and nothing outside this folder knows that Python exists.

mod bridge;
mod bridged;
mod chat_response;
mod chat_types;
mod closing;
mod connection;
mod courier;
mod cpython;
mod documents;
mod embedding_callable;
mod embedding_config;
mod embeddings;
mod errors;
mod exit;
mod finished;
mod given;
mod guard_rails;
mod json;
mod llm;
mod llm_callable;
mod llm_config;
mod llm_many;
mod llm_messages;
mod llm_request;
mod load;
mod local;
mod logging;
mod memory;
mod pickle;
mod prices;
mod rag;
mod resilience;
mod split;
mod store;
mod stream;
mod stream_events;
mod stream_protocol;
mod structured;
mod system;
mod tokens;
mod vectors;
mod workflow;

use pyo3::prelude::*;

/// For what this library allocates; Python and other extensions keep theirs. glibc gives the memory of
/// a large answer back to the system as soon as it is free, and the next answer pays for every page of
/// it again: with this a batch of vectors takes a third less CPU time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The native module. Import `graphbit` instead.
#[pymodule(gil_used = false)]
mod _graphbit {
    use super::*;

    #[pymodule_export]
    use super::bridged::without_key;
    #[pymodule_export]
    use super::chat_response::PyLlmResponse;
    #[pymodule_export]
    use super::chat_types::{PyFinishReason, PyLlmToolCall, PyLlmUsage};
    #[pymodule_export]
    use super::embedding_config::EmbeddingConfig;
    #[pymodule_export]
    use super::embeddings::EmbeddingClient;
    #[pymodule_export]
    use super::guard_rails::PyGuardRailPolicy;
    #[pymodule_export]
    use super::llm::PyLlmClient;
    #[pymodule_export]
    use super::llm_config::PyLlmConfig;
    #[pymodule_export]
    use super::load::{
        DocumentContent, DocumentLoader, DocumentLoaderConfig, find_documents, read_document,
        read_documents,
    };
    #[pymodule_export]
    use super::memory::{
        PyMemory, PyMemoryClient, PyMemoryConfig, PyMemoryHistory, PyScoredMemory,
    };
    #[pymodule_export]
    use super::prices::{get_prices, set_prices};
    #[pymodule_export]
    use super::rag::{
        PyAnswer, PyAnswerStream, PyCitation, PyDocumentOutcome, PyIngestProgress, PyIngestReport,
        PyIngestStream, PyParallelRag,
    };
    #[pymodule_export]
    use super::resilience::{PreparedSettings, prepare_settings};
    #[pymodule_export]
    use super::split::{
        CharacterSplitter, RecursiveSplitter, SentenceSplitter, TextChunk, TextSplitter,
        TextSplitterConfig, TokenSplitter,
    };
    #[pymodule_export]
    use super::store::{
        BackedStore, PgVectorStore, PyFilter, QdrantVectorStore, SearchHit, StoredEntry,
        VectorStore,
    };
    #[pymodule_export]
    use super::stream_events::PyStreamEvent;
    #[pymodule_export]
    use super::system::{
        configure_runtime, get_system_info, health_check, init, shutdown, version,
    };
    #[pymodule_export]
    use super::tokens::{
        count_tokens, count_tokens_many, decode_tokens, encode_tokens, truncate_tokens,
    };

    #[pymodule_export]
    use super::workflow::{PyExecutor, PyNode, PyWorkflow, PyWorkflowResult, PyWorkflowStream};

    #[pymodule_init]
    fn init_module(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::logging::register();
        super::exit::register(module)
    }
}
