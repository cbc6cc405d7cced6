//! The calls of Flight SQL, each a few lines over the delivery path.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::flight_service_server::FlightService as FlightCalls;
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionBeginSavepointResult, ActionBeginTransactionRequest,
    ActionBeginTransactionResult, ActionCancelQueryRequest, ActionCancelQueryResult,
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    ActionCreatePreparedSubstraitPlanRequest, ActionEndTransactionRequest, Any, CommandGetCatalogs,
    CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
    CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementIngest, CommandStatementQuery,
    CommandStatementSubstraitPlan, CommandStatementUpdate, DoPutPreparedStatementResult, ProstMessageExt, SqlInfo,
    TicketStatementQuery,
};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightDescriptor, FlightInfo,
    HandshakeRequest, HandshakeResponse, Ticket as FlightTicket,
};
use bytes::Bytes;
use datafusion::scalar::ScalarValue;
use futures::{Stream, TryStreamExt};
use lingqu_app::AppError;
use lingqu_domain::scope::Mode;
use lingqu_engine::schema_session::Concern;
use prost::Message;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Response, Status, Streaming};

use super::PROTOCOL;
use super::access::{self, Attempts};
use super::answer::{asked, information, parameters_of, schema_bytes, sent};
use super::catalogue::{self, Question};
use super::connection::Peer;
use super::messages::{Messages, Sent, encoded};
use super::prepared::PreparedStatements;
use super::running::{Run, Running};
use super::status::refused;
use super::ticket::{Ticket, Told, schema_digest};
use crate::delivery::{Admission, BatchRequest, Deliveries};
use crate::error::GatewayError;

/// How long a client may take to send the values of parameters.
const PARAMETERS_TIME_MAX: Duration = Duration::from_secs(30);
/// The result of `CloseSession`: `CloseSessionResult { status: CLOSED }` (`Flight.proto`).
const SESSION_CLOSED: &[u8] = &[0x08, 0x01];

const CANCEL_FLIGHT_INFO: &str = "CancelFlightInfo";
const CLOSE_SESSION: &str = "CloseSession";

type DoGet = <FlightService as FlightCalls>::DoGetStream;
type DoAction = <FlightService as FlightCalls>::DoActionStream;
type Handshake = Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>;

/// The service of a node.
#[derive(Clone)]
pub(super) struct FlightService {
    deliveries: Deliveries,
    prepared: Arc<PreparedStatements>,
    running: Arc<Running>,
    attempts: Arc<Attempts>,
}

impl FlightService {
    pub(super) fn new(deliveries: Deliveries) -> Self {
        Self { deliveries, prepared: Arc::default(), running: Arc::default(), attempts: Arc::default() }
    }

    /// Refuses whoever has no key. What his order may ask, each call finds out when its message is there.
    pub(super) async fn must_know(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let known = self.deliveries.must_know(access::bearer(metadata)).await;
        known.map_err(|error| refused(None, &error))
    }

    /// Authenticates a call to its order and meets the grant, as every call does anew.
    async fn admit(&self, metadata: &MetadataMap) -> Result<Admission, Status> {
        let admitted = self.deliveries.admit_order(access::bearer(metadata), PROTOCOL).await;
        admitted.map_err(|error| refused(None, &error))
    }

    /// What a statement would answer, and the ticket by which it is asked for. Nothing is read and nothing is charged.
    async fn information(
        &self,
        admission: &Admission,
        mode: Mode,
        sql: String,
        parameters: Vec<ScalarValue>,
        descriptor: FlightDescriptor,
    ) -> Result<FlightInfo, GatewayError> {
        let schema = match self.deliveries.schema_question(admission, &sql).await? {
            Some(question) => question.describe(Some(&parameters)).await?.schema,
            None => self.deliveries.describe_bound(admission, mode, &sql, &parameters).await?,
        };
        let told = Told { schema: schema_digest(&schema), policy: admission.serving.policy_digest.clone() };
        let ticket = Ticket::new(mode, sql, parameters, told)?;
        let app = self.deliveries.app();
        let sealed = ticket.seal(app.address_key(), &admission.order, app.now())?;
        let command = TicketStatementQuery { statement_handle: sealed.into() };
        information(&schema, &command.as_any(), descriptor)
    }

    /// Draws the answer of a statement.
    async fn drawn(
        &self,
        admission: &Admission,
        mode: Mode,
        sql: String,
        parameters: Vec<ScalarValue>,
        told: Option<&Told>,
        run: Option<Run>,
    ) -> Result<Response<Messages>, GatewayError> {
        if let Some(question) = self.deliveries.schema_question(admission, &sql).await? {
            let (schema, batches, wait) = question.batches(&parameters).await?;
            let pieces = async_stream::stream! {
                let _wait = wait;
                for batch in batches {
                    yield Ok::<_, Status>(batch);
                }
            };
            return Ok(Response::new(encoded(schema, Bytes::new(), pieces)));
        }
        let request = asked(&sql, &parameters);
        if let Some(told) = told
            && told.policy != admission.serving.policy_digest
        {
            // What changed since is found before anything is charged.
            let schema = self.deliveries.describe_bound(admission, mode, &sql, &parameters).await?;
            if schema_digest(&schema) != told.schema {
                return Err(GatewayError::SchemaChanged);
            }
        }
        let request = BatchRequest { mode, sql, parameters, request, limits: Admission::limits(mode) };
        let answer = self.deliveries.batches(admission, request).await?;
        Ok(sent(answer, run))
    }

    async fn catalogue(&self, metadata: &MetadataMap, question: Question) -> Result<Response<DoGet>, Status> {
        let admission = self.admit(metadata).await?;
        let answered = catalogue::answer(&self.deliveries, &admission, question).await;
        let batch = answered.map_err(|error| refused(Some(&admission.order), &error))?;
        let messages = encoded(batch.schema(), Bytes::new(), futures::stream::iter([Ok(batch)]));
        Ok(in_whole(Response::new(messages)))
    }

    /// Answers a ticket, whatever it is of.
    pub(super) async fn answer_ticket(&self, request: Request<FlightTicket>) -> Result<Response<Messages>, Status> {
        let any = Any::decode(&*request.get_ref().ticket).ok();
        if let Some(command) = any.as_ref().and_then(|any| any.unpack::<TicketStatementQuery>().ok().flatten()) {
            return self.statement(command, request.metadata()).await;
        }
        if let Some(query) = any.as_ref().and_then(|any| any.unpack::<CommandPreparedStatementQuery>().ok().flatten()) {
            return self.prepared_statement(query, request.metadata()).await;
        }
        let answered = FlightCalls::do_get(self, request).await?;
        Ok(answered.map(|messages| -> Messages { Box::pin(messages.map_ok(Sent::Whole)) }))
    }

    async fn statement(
        &self,
        command: TicketStatementQuery,
        metadata: &MetadataMap,
    ) -> Result<Response<Messages>, Status> {
        let admission = self.admit(metadata).await?;
        let refuse = |error: GatewayError| refused(Some(&admission.order), &error);
        let app = self.deliveries.app();
        let opened = Ticket::open(&command.statement_handle, app.address_key(), &admission.order, app.now());
        let Ticket { id, mode, sql, parameters, told } = opened.map_err(refuse)?;
        let run = self.running.begin(id).map_err(refuse)?;
        self.drawn(&admission, mode, sql, parameters, Some(&told), Some(run)).await.map_err(refuse)
    }

    async fn prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        metadata: &MetadataMap,
    ) -> Result<Response<Messages>, Status> {
        let admission = self.admit(metadata).await?;
        let refuse = |error: GatewayError| refused(Some(&admission.order), &error);
        let prepared = self.prepared.get(&admission.order, &query.prepared_statement_handle).map_err(refuse)?;
        let mode = mode_of(&admission, prepared.mode, &prepared.sql).map_err(refuse)?;
        self.drawn(&admission, mode, prepared.sql, prepared.parameters, None, None).await.map_err(refuse)
    }

    /// The ticket of a question about what there is: the question itself. It is answered for whoever redeems it.
    async fn catalogue_information<C: ProstMessageExt>(
        &self,
        command: C,
        question: Question,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let admission = self.admit(request.metadata()).await?;
        let refuse = |error: GatewayError| refused(Some(&admission.order), &error);
        let batch = catalogue::answer(&self.deliveries, &admission, question).await.map_err(refuse)?;
        let info = information(&batch.schema(), &command.as_any(), request.into_inner()).map_err(refuse)?;
        Ok(Response::new(info))
    }

    /// Refuses what is not offered, to whoever proves an order.
    async fn not_offered<T>(&self, metadata: &MetadataMap, zh: &str, en: &str) -> Result<T, Status> {
        let admission = self.admit(metadata).await?;
        let error = GatewayError::NotOffered { zh: zh.to_owned(), en: en.to_owned() };
        Err(refused(Some(&admission.order), &error))
    }

    async fn read_only<T>(&self, metadata: &MetadataMap) -> Result<T, Status> {
        self.not_offered(metadata, "数据面只读，仅接受 SELECT 查询", "the data plane only answers; ask with SELECT")
            .await
    }

    async fn no_transactions<T>(&self, metadata: &MetadataMap) -> Result<T, Status> {
        let en = "there are no transactions, since nothing is changed; set autocommit";
        self.not_offered(metadata, "数据面只读，不支持事务，请使用自动提交", en).await
    }

    async fn no_substrait<T>(&self, metadata: &MetadataMap) -> Result<T, Status> {
        self.not_offered(metadata, "不接受 Substrait 计划，请以 SQL 提交", "Substrait plans are not taken; ask in SQL")
            .await
    }

    /// Cancels what runs on the ticket of a flight. A ticket that was changed or is of another order is refused.
    fn cancel(&self, admission: &Admission, info: Option<&FlightInfo>) -> Result<(), GatewayError> {
        let app = self.deliveries.app();
        let sealed = info.and_then(|info| info.endpoint.first()).and_then(|endpoint| endpoint.ticket.as_ref());
        let any = sealed.and_then(|ticket| Any::decode(&*ticket.ticket).ok());
        let statement = any.and_then(|any| any.unpack::<TicketStatementQuery>().ok().flatten());
        let statement = statement.ok_or(GatewayError::TicketNotValid)?;
        let ticket = Ticket::open(&statement.statement_handle, app.address_key(), &admission.order, app.now())?;
        self.running.cancel(ticket.id);
        Ok(())
    }
}

#[tonic::async_trait]
impl FlightSqlService for FlightService {
    type FlightService = FlightService;

    /// Basic authentication: the user names the order, the password is its service key, and the key is the bearer token too.
    async fn do_handshake(&self, request: Request<Streaming<HandshakeRequest>>) -> Result<Response<Handshake>, Status> {
        let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
        self.attempts.check(peer.address).map_err(|error| refused(None, &error))?;
        let Some((user, password)) = access::user_and_password(request.metadata()) else {
            self.attempts.failed(peer.address);
            return Err(refused(None, &GatewayError::NoKey));
        };
        let admitted = match self.deliveries.admit_order(Some(&password), PROTOCOL).await {
            Ok(admission) if !access::names_order(&user, &admission) => Err(GatewayError::UserMismatch),
            other => other,
        };
        let admission = admitted.map_err(|error| {
            if is_unproven(&error) {
                self.attempts.failed(peer.address);
            }
            refused(None, &error)
        })?;
        tracing::debug!(order = %admission.order, "a client shook hands");
        let bearer = access::bearer_header(&password);
        let answer = HandshakeResponse { protocol_version: 0, payload: Bytes::from(password) };
        let answers: Handshake = Box::pin(futures::stream::iter([Ok(answer)]));
        let mut response = Response::new(answers);
        let mut value: MetadataValue<_> = bearer.parse().map_err(|_| refused(None, &GatewayError::NoKey))?;
        value.set_sensitive(true);
        response.metadata_mut().insert("authorization", value);
        Ok(response)
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        if query.transaction_id.is_some() {
            return self.no_transactions(request.metadata()).await;
        }
        let admission = self.admit(request.metadata()).await?;
        let refuse = |error: GatewayError| refused(Some(&admission.order), &error);
        let mode = access::wanted_mode(request.metadata());
        let mode = mode.and_then(|wanted| mode_of(&admission, wanted, &query.query));
        let descriptor = request.into_inner();
        let info = self.information(&admission, mode.map_err(refuse)?, query.query, Vec::new(), descriptor).await;
        Ok(Response::new(info.map_err(refuse)?))
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let admission = self.admit(request.metadata()).await?;
        let refuse = |error: GatewayError| refused(Some(&admission.order), &error);
        let prepared = self.prepared.get(&admission.order, &query.prepared_statement_handle).map_err(refuse)?;
        let mode = mode_of(&admission, prepared.mode, &prepared.sql).map_err(refuse)?;
        let descriptor = request.into_inner();
        let info = self.information(&admission, mode, prepared.sql, prepared.parameters, descriptor).await;
        Ok(Response::new(info.map_err(refuse)?))
    }

    async fn do_get_statement(
        &self,
        command: TicketStatementQuery,
        request: Request<FlightTicket>,
    ) -> Result<Response<DoGet>, Status> {
        Ok(in_whole(self.statement(command, request.metadata()).await?))
    }

    async fn do_get_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightTicket>,
    ) -> Result<Response<DoGet>, Status> {
        Ok(in_whole(self.prepared_statement(query, request.metadata()).await?))
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        if query.transaction_id.is_some() {
            return self.no_transactions(request.metadata()).await;
        }
        let admission = self.admit(request.metadata()).await?;
        let refuse = |error: GatewayError| refused(Some(&admission.order), &error);
        let wanted = access::wanted_mode(request.metadata()).map_err(refuse)?;
        let described = match self.deliveries.schema_question(&admission, &query.query).await.map_err(refuse)? {
            Some(question) => question.describe(None).await,
            None => match admission.batch_mode(wanted) {
                Ok(mode) => self.deliveries.describe(&admission, mode, &query.query).await,
                Err(error) => Err(error),
            },
        };
        let described = described.map_err(refuse)?;
        let handle = self.prepared.add(&admission.order, wanted, query.query).map_err(refuse)?;
        let mut parameters = Vec::with_capacity(described.parameters.len());
        for (index, data_type) in described.parameters.into_iter().enumerate() {
            // What the statement does not tell may be given as text.
            let data_type = data_type.unwrap_or(DataType::Utf8);
            parameters.push(Field::new(format!("${}", index + 1), data_type, true));
        }
        let parameter_schema: SchemaRef = Arc::new(Schema::new(parameters));
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: Bytes::copy_from_slice(&handle),
            dataset_schema: schema_bytes(&described.schema).map_err(refuse)?,
            parameter_schema: schema_bytes(&parameter_schema).map_err(refuse)?,
        })
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        // A statement of an order that has been suspended meanwhile is closed by time.
        let admission = self.admit(request.metadata()).await?;
        self.prepared.close(&admission.order, &query.prepared_statement_handle);
        Ok(())
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let admission = self.admit(request.metadata()).await?;
        let refuse = |error: GatewayError| refused(Some(&admission.order), &error);
        let read = tokio::time::timeout(PARAMETERS_TIME_MAX, parameters_of(request.into_inner())).await;
        let late = |_| GatewayError::RequestTooSlow { seconds: PARAMETERS_TIME_MAX.as_secs() };
        let values = read.map_err(late).and_then(|read| read).map_err(refuse)?;
        self.prepared.bind(&admission.order, &query.prepared_statement_handle, values).map_err(refuse)?;
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(query.prepared_statement_handle) })
    }

    async fn do_action_cancel_query(
        &self,
        query: ActionCancelQueryRequest,
        request: Request<Action>,
    ) -> Result<ActionCancelQueryResult, Status> {
        let admission = self.admit(request.metadata()).await?;
        let info = FlightInfo::decode(&*query.info).ok();
        self.cancel(&admission, info.as_ref()).map_err(|error| refused(Some(&admission.order), &error))?;
        Ok(ActionCancelQueryResult { result: CancelStatus::Cancelled as i32 })
    }

    async fn do_action_fallback(&self, request: Request<Action>) -> Result<Response<DoAction>, Status> {
        let admission = self.admit(request.metadata()).await?;
        let refuse = |error: GatewayError| refused(Some(&admission.order), &error);
        let body = match request.get_ref().r#type.as_str() {
            CANCEL_FLIGHT_INFO => {
                let cancel = CancelFlightInfoRequest::decode(&*request.get_ref().body).ok();
                let info = cancel.and_then(|cancel| cancel.info);
                self.cancel(&admission, info.as_ref()).map_err(refuse)?;
                CancelFlightInfoResult::new(CancelStatus::Cancelled).encode_to_vec()
            }
            // There is nothing that a session keeps.
            CLOSE_SESSION => SESSION_CLOSED.to_vec(),
            _ => {
                return Err(refuse(GatewayError::NotOffered {
                    zh: "不支持该操作".to_owned(),
                    en: "this action is not offered; list the actions to see those that are".to_owned(),
                }));
            }
        };
        let results = futures::stream::iter([Ok(arrow_flight::Result { body: body.into() })]);
        Ok(Response::new(Box::pin(results)))
    }

    async fn list_custom_actions(&self) -> Option<Vec<Result<ActionType, Status>>> {
        let action = |name: &str, description: &str| {
            Ok(ActionType { r#type: name.to_owned(), description: description.to_owned() })
        };
        Some(vec![
            action(CANCEL_FLIGHT_INFO, "Cancels what runs on a flight's ticket, and the ticket."),
            action(CLOSE_SESSION, "Ends a session, of which nothing is kept."),
        ])
    }

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.catalogue_information(query, Question::Catalogues, request).await
    }

    async fn do_get_catalogs(
        &self,
        _query: CommandGetCatalogs,
        request: Request<FlightTicket>,
    ) -> Result<Response<DoGet>, Status> {
        self.catalogue(request.metadata(), Question::Catalogues).await
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.catalogue_information(query.clone(), Question::Schemas(query), request).await
    }

    async fn do_get_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightTicket>,
    ) -> Result<Response<DoGet>, Status> {
        self.catalogue(request.metadata(), Question::Schemas(query)).await
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.catalogue_information(query.clone(), Question::Tables(query), request).await
    }

    async fn do_get_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightTicket>,
    ) -> Result<Response<DoGet>, Status> {
        self.catalogue(request.metadata(), Question::Tables(query)).await
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.catalogue_information(query, Question::TableTypes, request).await
    }

    async fn do_get_table_types(
        &self,
        _query: CommandGetTableTypes,
        request: Request<FlightTicket>,
    ) -> Result<Response<DoGet>, Status> {
        self.catalogue(request.metadata(), Question::TableTypes).await
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.catalogue_information(query.clone(), Question::SqlInfo(query), request).await
    }

    async fn do_get_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightTicket>,
    ) -> Result<Response<DoGet>, Status> {
        self.catalogue(request.metadata(), Question::SqlInfo(query)).await
    }

    async fn get_flight_info_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.catalogue_information(query, Question::TypeInfo(query), request).await
    }

    async fn do_get_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<FlightTicket>,
    ) -> Result<Response<DoGet>, Status> {
        self.catalogue(request.metadata(), Question::TypeInfo(query)).await
    }

    async fn get_flight_info_primary_keys(
        &self,
        query: CommandGetPrimaryKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.catalogue_information(query.clone(), Question::PrimaryKeys(query), request).await
    }

    async fn do_get_primary_keys(
        &self,
        query: CommandGetPrimaryKeys,
        request: Request<FlightTicket>,
    ) -> Result<Response<DoGet>, Status> {
        self.catalogue(request.metadata(), Question::PrimaryKeys(query)).await
    }

    async fn get_flight_info_exported_keys(
        &self,
        query: CommandGetExportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.catalogue_information(query, Question::ForeignKeys, request).await
    }

    async fn do_get_exported_keys(
        &self,
        _query: CommandGetExportedKeys,
        request: Request<FlightTicket>,
    ) -> Result<Response<DoGet>, Status> {
        self.catalogue(request.metadata(), Question::ForeignKeys).await
    }

    async fn get_flight_info_imported_keys(
        &self,
        query: CommandGetImportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.catalogue_information(query, Question::ForeignKeys, request).await
    }

    async fn do_get_imported_keys(
        &self,
        _query: CommandGetImportedKeys,
        request: Request<FlightTicket>,
    ) -> Result<Response<DoGet>, Status> {
        self.catalogue(request.metadata(), Question::ForeignKeys).await
    }

    async fn get_flight_info_cross_reference(
        &self,
        query: CommandGetCrossReference,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.catalogue_information(query, Question::ForeignKeys, request).await
    }

    async fn do_get_cross_reference(
        &self,
        _query: CommandGetCrossReference,
        request: Request<FlightTicket>,
    ) -> Result<Response<DoGet>, Status> {
        self.catalogue(request.metadata(), Question::ForeignKeys).await
    }

    async fn get_flight_info_substrait_plan(
        &self,
        _query: CommandStatementSubstraitPlan,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.no_substrait(request.metadata()).await
    }

    async fn do_action_create_prepared_substrait_plan(
        &self,
        _query: ActionCreatePreparedSubstraitPlanRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        self.no_substrait(request.metadata()).await
    }

    async fn do_put_substrait_plan(
        &self,
        _query: CommandStatementSubstraitPlan,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        self.no_substrait(request.metadata()).await
    }

    async fn do_put_statement_update(
        &self,
        _command: CommandStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        self.read_only(request.metadata()).await
    }

    async fn do_put_statement_ingest(
        &self,
        _command: CommandStatementIngest,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        self.read_only(request.metadata()).await
    }

    async fn do_put_prepared_statement_update(
        &self,
        _query: CommandPreparedStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        self.read_only(request.metadata()).await
    }

    async fn do_action_begin_transaction(
        &self,
        _query: ActionBeginTransactionRequest,
        request: Request<Action>,
    ) -> Result<ActionBeginTransactionResult, Status> {
        self.no_transactions(request.metadata()).await
    }

    async fn do_action_end_transaction(
        &self,
        _query: ActionEndTransactionRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        self.no_transactions(request.metadata()).await
    }

    async fn do_action_begin_savepoint(
        &self,
        _query: ActionBeginSavepointRequest,
        request: Request<Action>,
    ) -> Result<ActionBeginSavepointResult, Status> {
        self.no_transactions(request.metadata()).await
    }

    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {
        // What the server says of itself is fixed.
    }
}

/// The messages of an answer as the generated service has them.
fn in_whole(answer: Response<Messages>) -> Response<DoGet> {
    answer.map(|messages| -> DoGet { Box::pin(messages.map_ok(Sent::whole)) })
}

/// The mode by which a statement is answered. One about what there is is answered whatever is granted.
fn mode_of(admission: &Admission, wanted: Option<Mode>, sql: &str) -> Result<Mode, GatewayError> {
    match admission.serving.concern_of(sql) {
        Concern::Schema => Ok(admission.shown_mode()),
        Concern::Data | Concern::Both => admission.batch_mode(wanted),
    }
}

/// Whether a handshake failed for want of a key.
fn is_unproven(error: &GatewayError) -> bool {
    matches!(error, GatewayError::App(AppError::BadKey) | GatewayError::NoKey | GatewayError::UserMismatch)
}
