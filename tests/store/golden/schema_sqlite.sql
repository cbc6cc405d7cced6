CREATE TABLE "consent" ( "id" text NOT NULL PRIMARY KEY, "stream_version" integer NOT NULL, "state" text NOT NULL, "title" text NOT NULL, "owner" text NOT NULL, "created_at" text NOT NULL, "updated_at" text NOT NULL, "position" integer NOT NULL, "body" text NOT NULL, FOREIGN KEY ("position") REFERENCES "journal" ("position") )
CREATE INDEX "consent_owner_index" ON "consent" ("owner", "id")
CREATE INDEX "consent_state_index" ON "consent" ("state", "id")
CREATE TABLE "consent_batch" ( "id" text NOT NULL PRIMARY KEY, "stream_version" integer NOT NULL, "state" text NOT NULL, "title" text NOT NULL, "owner" text NOT NULL, "created_at" text NOT NULL, "updated_at" text NOT NULL, "position" integer NOT NULL, "body" text NOT NULL, FOREIGN KEY ("position") REFERENCES "journal" ("position") )
CREATE INDEX "consent_batch_owner_index" ON "consent_batch" ("owner", "id")
CREATE INDEX "consent_batch_state_index" ON "consent_batch" ("state", "id")
CREATE TABLE "consent_row" ( "batch" text NOT NULL, "member" integer NOT NULL, "ordinal" integer NOT NULL, CONSTRAINT "consent_row_pkey" PRIMARY KEY ("batch", "member"), CONSTRAINT "consent_row_batch_ordinal_unique" UNIQUE ("batch", "ordinal"), FOREIGN KEY ("batch") REFERENCES "consent_batch" ("id"), FOREIGN KEY ("ordinal") REFERENCES "consent_subject" ("ordinal"), CONSTRAINT "consent_row_member_check" CHECK ("member" >= 0) )
CREATE INDEX "consent_row_ordinal_index" ON "consent_row" ("ordinal")
CREATE TABLE "consent_set" ( "batch" text NOT NULL PRIMARY KEY, "ordinals" blob NOT NULL, FOREIGN KEY ("batch") REFERENCES "consent_batch" ("id") )
CREATE TABLE "consent_subject" ( "subject" text NOT NULL PRIMARY KEY, "ordinal" integer NOT NULL, CONSTRAINT "consent_subject_ordinal_unique" UNIQUE ("ordinal"), CONSTRAINT "consent_subject_ordinal_check" CHECK ("ordinal" >= 0) )
CREATE TABLE "erasure" ( "id" text NOT NULL PRIMARY KEY, "stream_version" integer NOT NULL, "state" text NOT NULL, "title" text NOT NULL, "owner" text NOT NULL, "created_at" text NOT NULL, "updated_at" text NOT NULL, "position" integer NOT NULL, "body" text NOT NULL, FOREIGN KEY ("position") REFERENCES "journal" ("position") )
CREATE INDEX "erasure_owner_index" ON "erasure" ("owner", "id")
CREATE INDEX "erasure_state_index" ON "erasure" ("state", "id")
CREATE TABLE "idempotency" ( "key" text NOT NULL PRIMARY KEY, "request_digest" blob NOT NULL, "response" text NOT NULL, "expires_at" text NOT NULL )
CREATE TABLE "ingestion" ( "id" text NOT NULL PRIMARY KEY, "resource" text NOT NULL, "actor" text NOT NULL, "source_name" text NOT NULL, "source_digest" text NOT NULL, "options_digest" text NOT NULL, "state" text NOT NULL, "request" text NOT NULL, "rows_read" integer NOT NULL, "rows_rejected" integer NOT NULL, "bytes_read" integer NOT NULL, "bytes_total" integer NOT NULL, "attempts" integer NOT NULL, "snapshot" text, "outcome" text, "created_at" text NOT NULL, "started_at" text, "ended_at" text, CONSTRAINT "ingestion_state_check" CHECK ("state" IN ('queued', 'running', 'committed', 'failed', 'cancelled')), CONSTRAINT "ingestion_counts_check" CHECK ("rows_read" >= 0 AND "rows_rejected" >= 0 AND "bytes_read" >= 0), CONSTRAINT "ingestion_committed_check" CHECK ("state" <> 'committed' OR "snapshot" IS NOT NULL) )
CREATE INDEX "ingestion_resource_index" ON "ingestion" ("resource", "id")
CREATE INDEX "ingestion_state_index" ON "ingestion" ("state", "id")
CREATE TRIGGER journal_append_only_delete BEFORE DELETE ON journal BEGIN SELECT RAISE(ABORT, 'journal_append_only: rows of journal are never deleted'); END
CREATE TRIGGER journal_append_only_replace BEFORE INSERT ON journal WHEN EXISTS (SELECT 1 FROM journal WHERE stream = NEW.stream AND stream_version = NEW.stream_version) BEGIN SELECT RAISE(ABORT, 'journal_append_only: rows of journal are never replaced'); END
CREATE TRIGGER journal_append_only_update BEFORE UPDATE ON journal BEGIN SELECT RAISE(ABORT, 'journal_append_only: rows of journal are never changed'); END
CREATE TRIGGER journal_gap_free BEFORE INSERT ON journal WHEN NEW.position <> (SELECT COALESCE(MAX(position), 0) + 1 FROM journal) BEGIN SELECT RAISE(ABORT, 'journal_gap_free: position must be the next one'); END
CREATE TABLE "journal" ( "position" integer NOT NULL PRIMARY KEY, "at" text NOT NULL, "command_id" text NOT NULL, "actor" text NOT NULL, "stream" text NOT NULL, "stream_version" integer NOT NULL, "kind" text NOT NULL, "body" text NOT NULL, "salt" blob NOT NULL, "rulebook_version" text NOT NULL, "log_entry" integer NOT NULL, CONSTRAINT "journal_stream_stream_version_unique" UNIQUE ("stream", "stream_version"), CONSTRAINT "journal_position_check" CHECK ("position" > 0), CONSTRAINT "journal_stream_version_check" CHECK ("stream_version" > 0), CONSTRAINT "journal_log_entry_check" CHECK ("log_entry" >= 0) )
CREATE INDEX "journal_log_entry_index" ON "journal" ("log_entry")
CREATE TRIGGER log_entry_append_only_delete BEFORE DELETE ON log_entry BEGIN SELECT RAISE(ABORT, 'log_entry_append_only: rows of log_entry are never deleted'); END
CREATE TRIGGER log_entry_append_only_update BEFORE UPDATE ON log_entry BEGIN SELECT RAISE(ABORT, 'log_entry_append_only: rows of log_entry are never changed'); END
CREATE TRIGGER log_entry_gap_free BEFORE INSERT ON log_entry WHEN NEW.idx <> (SELECT COALESCE(MAX(idx), -1) + 1 FROM log_entry) BEGIN SELECT RAISE(ABORT, 'log_entry_gap_free: idx must be the next one'); END
CREATE TABLE "log_entry" ( "idx" integer NOT NULL PRIMARY KEY, "bytes" blob NOT NULL, CONSTRAINT "log_entry_idx_check" CHECK ("idx" >= 0) )
CREATE TRIGGER log_roots_append_only_delete BEFORE DELETE ON log_roots BEGIN SELECT RAISE(ABORT, 'log_roots_append_only: rows of log_roots are never deleted'); END
CREATE TRIGGER log_roots_append_only_replace BEFORE INSERT ON log_roots WHEN EXISTS (SELECT 1 FROM log_roots WHERE size = NEW.size OR log_entry = NEW.log_entry) BEGIN SELECT RAISE(ABORT, 'log_roots_append_only: rows of log_roots are never replaced'); END
CREATE TRIGGER log_roots_append_only_update BEFORE UPDATE ON log_roots BEGIN SELECT RAISE(ABORT, 'log_roots_append_only: rows of log_roots are never changed'); END
CREATE TABLE "log_roots" ( "size" integer NOT NULL PRIMARY KEY, "log_entry" integer NOT NULL, CONSTRAINT "log_roots_log_entry_unique" UNIQUE ("log_entry"), FOREIGN KEY ("log_entry") REFERENCES "log_entry" ("idx"), CONSTRAINT "log_roots_size_check" CHECK ("size" >= 0) )
CREATE TABLE "login" ( "user_id" text NOT NULL PRIMARY KEY, "login" text NOT NULL, "password_phc" text NOT NULL, "display_name_sealed" blob NOT NULL, "created_at" text NOT NULL, CONSTRAINT "login_login_unique" UNIQUE ("login") )
CREATE TABLE "mandate" ( "id" text NOT NULL PRIMARY KEY, "stream_version" integer NOT NULL, "state" text NOT NULL, "title" text NOT NULL, "owner" text NOT NULL, "created_at" text NOT NULL, "updated_at" text NOT NULL, "position" integer NOT NULL, "body" text NOT NULL, FOREIGN KEY ("position") REFERENCES "journal" ("position") )
CREATE INDEX "mandate_owner_index" ON "mandate" ("owner", "id")
CREATE INDEX "mandate_state_index" ON "mandate" ("state", "id")
CREATE TRIGGER mark_share_append_only_delete BEFORE DELETE ON mark_share BEGIN SELECT RAISE(ABORT, 'mark_share_append_only: rows of mark_share are never deleted'); END
CREATE TRIGGER mark_share_append_only_replace BEFORE INSERT ON mark_share WHEN EXISTS (SELECT 1 FROM mark_share WHERE key_use = NEW.key_use) BEGIN SELECT RAISE(ABORT, 'mark_share_append_only: rows of mark_share are never replaced'); END
CREATE TRIGGER mark_share_append_only_update BEFORE UPDATE ON mark_share BEGIN SELECT RAISE(ABORT, 'mark_share_append_only: rows of mark_share are never changed'); END
CREATE TABLE "mark_share" ( "key_use" text NOT NULL PRIMARY KEY, "sealed" blob NOT NULL, "given_at" text NOT NULL )
CREATE TABLE "meter" ( "id" text NOT NULL PRIMARY KEY, "stream_version" integer NOT NULL, "state" text NOT NULL, "title" text NOT NULL, "owner" text NOT NULL, "created_at" text NOT NULL, "updated_at" text NOT NULL, "position" integer NOT NULL, "body" text NOT NULL, FOREIGN KEY ("position") REFERENCES "journal" ("position") )
CREATE INDEX "meter_owner_index" ON "meter" ("owner", "id")
CREATE INDEX "meter_state_index" ON "meter" ("state", "id")
CREATE TABLE "node" ( "id" text NOT NULL PRIMARY KEY, "stream_version" integer NOT NULL, "state" text NOT NULL, "title" text NOT NULL, "owner" text NOT NULL, "created_at" text NOT NULL, "updated_at" text NOT NULL, "position" integer NOT NULL, "body" text NOT NULL, FOREIGN KEY ("position") REFERENCES "journal" ("position") )
CREATE INDEX "node_owner_index" ON "node" ("owner", "id")
CREATE INDEX "node_state_index" ON "node" ("state", "id")
CREATE TABLE "order" ( "id" text NOT NULL PRIMARY KEY, "stream_version" integer NOT NULL, "state" text NOT NULL, "title" text NOT NULL, "owner" text NOT NULL, "created_at" text NOT NULL, "updated_at" text NOT NULL, "position" integer NOT NULL, "body" text NOT NULL, FOREIGN KEY ("position") REFERENCES "journal" ("position") )
CREATE INDEX "order_owner_index" ON "order" ("owner", "id")
CREATE INDEX "order_state_index" ON "order" ("state", "id")
CREATE TABLE "paid_file" ( "order_id" text NOT NULL, "file" text NOT NULL, "receipt_id" text NOT NULL, CONSTRAINT "paid_file_pkey" PRIMARY KEY ("order_id", "file", "receipt_id") )
CREATE TABLE "party" ( "id" text NOT NULL PRIMARY KEY, "stream_version" integer NOT NULL, "state" text NOT NULL, "title" text NOT NULL, "owner" text NOT NULL, "created_at" text NOT NULL, "updated_at" text NOT NULL, "position" integer NOT NULL, "body" text NOT NULL, FOREIGN KEY ("position") REFERENCES "journal" ("position") )
CREATE INDEX "party_owner_index" ON "party" ("owner", "id")
CREATE INDEX "party_state_index" ON "party" ("state", "id")
CREATE TABLE "permit" ( "id" text NOT NULL PRIMARY KEY, "stream_version" integer NOT NULL, "state" text NOT NULL, "title" text NOT NULL, "owner" text NOT NULL, "created_at" text NOT NULL, "updated_at" text NOT NULL, "position" integer NOT NULL, "body" text NOT NULL, FOREIGN KEY ("position") REFERENCES "journal" ("position") )
CREATE INDEX "permit_owner_index" ON "permit" ("owner", "id")
CREATE INDEX "permit_state_index" ON "permit" ("state", "id")
CREATE TABLE "permitted_revenue" ( "id" text NOT NULL PRIMARY KEY, "stream_version" integer NOT NULL, "state" text NOT NULL, "title" text NOT NULL, "owner" text NOT NULL, "created_at" text NOT NULL, "updated_at" text NOT NULL, "position" integer NOT NULL, "body" text NOT NULL, FOREIGN KEY ("position") REFERENCES "journal" ("position") )
CREATE INDEX "permitted_revenue_owner_index" ON "permitted_revenue" ("owner", "id")
CREATE INDEX "permitted_revenue_state_index" ON "permitted_revenue" ("state", "id")
CREATE TABLE "plan" ( "id" text NOT NULL PRIMARY KEY, "stream_version" integer NOT NULL, "state" text NOT NULL, "title" text NOT NULL, "owner" text NOT NULL, "created_at" text NOT NULL, "updated_at" text NOT NULL, "position" integer NOT NULL, "body" text NOT NULL, FOREIGN KEY ("position") REFERENCES "journal" ("position") )
CREATE INDEX "plan_owner_index" ON "plan" ("owner", "id")
CREATE INDEX "plan_state_index" ON "plan" ("state", "id")
CREATE TRIGGER posting_append_only_delete BEFORE DELETE ON posting BEGIN SELECT RAISE(ABORT, 'posting_append_only: rows of posting are never deleted'); END
CREATE TRIGGER posting_append_only_replace BEFORE INSERT ON posting WHEN EXISTS (SELECT 1 FROM posting WHERE transaction_id = NEW.transaction_id AND line = NEW.line) BEGIN SELECT RAISE(ABORT, 'posting_append_only: rows of posting are never replaced'); END
CREATE TRIGGER posting_append_only_update BEFORE UPDATE ON posting BEGIN SELECT RAISE(ABORT, 'posting_append_only: rows of posting are never changed'); END
CREATE TABLE "posting" ( "transaction_id" text NOT NULL, "line" integer NOT NULL, "account" text NOT NULL, "owner" text NOT NULL, "debit_fen" integer NOT NULL, "credit_fen" integer NOT NULL, "memo" text NOT NULL, "settlement" text, "order_id" text, "position" integer NOT NULL, CONSTRAINT "posting_pkey" PRIMARY KEY ("transaction_id", "line"), FOREIGN KEY ("position") REFERENCES "journal" ("position"), CONSTRAINT "posting_debit_fen_check" CHECK ("debit_fen" >= 0), CONSTRAINT "posting_credit_fen_check" CHECK ("credit_fen" >= 0), CONSTRAINT "posting_one_side_check" CHECK ((debit_fen = 0) <> (credit_fen = 0)) )
CREATE INDEX "posting_order_id_index" ON "posting" ("order_id")
CREATE INDEX "posting_owner_account_index" ON "posting" ("owner", "account")
CREATE INDEX "posting_settlement_index" ON "posting" ("settlement")
CREATE TABLE "privacy_answer" ( "consumer" text NOT NULL, "question" text NOT NULL, "rho_nano" integer NOT NULL, "answered_at" text NOT NULL, "sealed" blob NOT NULL, CONSTRAINT "privacy_answer_pkey" PRIMARY KEY ("consumer", "question"), CONSTRAINT "privacy_answer_rho_check" CHECK ("rho_nano" > 0) )
CREATE TRIGGER privacy_debit_append_only_delete BEFORE DELETE ON privacy_debit BEGIN SELECT RAISE(ABORT, 'privacy_debit_append_only: rows of privacy_debit are never deleted'); END
CREATE TRIGGER privacy_debit_append_only_replace BEFORE INSERT ON privacy_debit WHEN EXISTS (SELECT 1 FROM privacy_debit WHERE consumer = NEW.consumer AND question = NEW.question AND link = NEW.link AND resource = NEW.resource) BEGIN SELECT RAISE(ABORT, 'privacy_debit_append_only: rows of privacy_debit are never replaced'); END
CREATE TRIGGER privacy_debit_append_only_update BEFORE UPDATE ON privacy_debit BEGIN SELECT RAISE(ABORT, 'privacy_debit_append_only: rows of privacy_debit are never changed'); END
CREATE TABLE "privacy_debit" ( "consumer" text NOT NULL, "question" text NOT NULL, "link" text NOT NULL, "resource" text NOT NULL, "rho_nano" integer NOT NULL, CONSTRAINT "privacy_debit_pkey" PRIMARY KEY ("consumer", "question", "link", "resource"), CONSTRAINT "privacy_debit_rho_check" CHECK ("rho_nano" > 0) )
CREATE INDEX "privacy_debit_account_index" ON "privacy_debit" ("link", "resource", "consumer")
CREATE TABLE "product" ( "id" text NOT NULL PRIMARY KEY, "stream_version" integer NOT NULL, "state" text NOT NULL, "title" text NOT NULL, "owner" text NOT NULL, "created_at" text NOT NULL, "updated_at" text NOT NULL, "position" integer NOT NULL, "body" text NOT NULL, FOREIGN KEY ("position") REFERENCES "journal" ("position") )
CREATE INDEX "product_owner_index" ON "product" ("owner", "id")
CREATE INDEX "product_state_index" ON "product" ("state", "id")
CREATE TABLE "quality_report" ( "id" text NOT NULL PRIMARY KEY, "stream_version" integer NOT NULL, "state" text NOT NULL, "title" text NOT NULL, "owner" text NOT NULL, "created_at" text NOT NULL, "updated_at" text NOT NULL, "position" integer NOT NULL, "body" text NOT NULL, FOREIGN KEY ("position") REFERENCES "journal" ("position") )
CREATE INDEX "quality_report_owner_index" ON "quality_report" ("owner", "id")
CREATE INDEX "quality_report_state_index" ON "quality_report" ("state", "id")
CREATE TABLE "quota_account" ( "account" text NOT NULL PRIMARY KEY, "used" integer NOT NULL, CONSTRAINT "quota_account_used_check" CHECK ("used" >= 0) )
CREATE TABLE "quota_hold" ( "account" text NOT NULL, "digest" blob NOT NULL, "receipt_id" text NOT NULL, "part" integer NOT NULL, "process" text, CONSTRAINT "quota_hold_pkey" PRIMARY KEY ("account", "digest", "receipt_id"), CONSTRAINT "quota_hold_part_check" CHECK ("part" >= 0) )
CREATE INDEX "quota_hold_receipt_id_index" ON "quota_hold" ("receipt_id")
CREATE TABLE "quota_lease" ( "account" text NOT NULL, "process" text NOT NULL, "granted" integer NOT NULL, settled bigint NOT NULL DEFAULT 0, CONSTRAINT "quota_lease_pkey" PRIMARY KEY ("account", "process"), FOREIGN KEY ("account") REFERENCES "quota_account" ("account"), FOREIGN KEY ("process") REFERENCES "quota_process" ("process"), CONSTRAINT "quota_lease_granted_check" CHECK ("granted" >= 0) )
CREATE TABLE "quota_process" ( "process" text NOT NULL PRIMARY KEY, "seen_at_unix" integer NOT NULL , receipts_before bigint)
CREATE INDEX "quota_process_seen_at_unix_index" ON "quota_process" ("seen_at_unix")
CREATE TABLE "quota_subject" ( "account" text NOT NULL, "digest" blob NOT NULL, CONSTRAINT "quota_subject_pkey" PRIMARY KEY ("account", "digest") )
CREATE TRIGGER receipt_block_append_only_delete BEFORE DELETE ON receipt_block BEGIN SELECT RAISE(ABORT, 'receipt_block_append_only: rows of receipt_block are never deleted'); END
CREATE TRIGGER receipt_block_append_only_update BEFORE UPDATE ON receipt_block BEGIN SELECT RAISE(ABORT, 'receipt_block_append_only: rows of receipt_block are never changed'); END
CREATE TRIGGER receipt_block_gap_free BEFORE INSERT ON receipt_block WHEN NEW.first_position <> COALESCE((SELECT first_position + "count" FROM receipt_block ORDER BY first_position DESC LIMIT 1), 1) BEGIN SELECT RAISE(ABORT, 'receipt_block_gap_free: first_position must be the next one'); END
CREATE TABLE "receipt_block" ( "first_position" integer NOT NULL PRIMARY KEY, "count" integer NOT NULL, "block" blob NOT NULL, CONSTRAINT "receipt_block_first_position_check" CHECK ("first_position" > 0), CONSTRAINT "receipt_block_count_check" CHECK ("count" > 0) )
CREATE TRIGGER receipt_commit_append_only_delete BEFORE DELETE ON receipt_commit BEGIN SELECT RAISE(ABORT, 'receipt_commit_append_only: rows of receipt_commit are never deleted'); END
CREATE TRIGGER receipt_commit_append_only_replace BEFORE INSERT ON receipt_commit WHEN EXISTS (SELECT 1 FROM receipt_commit WHERE log_entry = NEW.log_entry) BEGIN SELECT RAISE(ABORT, 'receipt_commit_append_only: rows of receipt_commit are never replaced'); END
CREATE TRIGGER receipt_commit_append_only_update BEFORE UPDATE ON receipt_commit BEGIN SELECT RAISE(ABORT, 'receipt_commit_append_only: rows of receipt_commit are never changed'); END
CREATE TRIGGER receipt_commit_gap_free BEFORE INSERT ON receipt_commit WHEN NEW.first_position <> COALESCE((SELECT first_position + "count" FROM receipt_commit ORDER BY first_position DESC LIMIT 1), 1) BEGIN SELECT RAISE(ABORT, 'receipt_commit_gap_free: first_position must be the next one'); END
CREATE TABLE "receipt_commit" ( "first_position" integer NOT NULL PRIMARY KEY, "count" integer NOT NULL, "log_entry" integer NOT NULL, CONSTRAINT "receipt_commit_log_entry_unique" UNIQUE ("log_entry"), FOREIGN KEY ("log_entry") REFERENCES "log_entry" ("idx"), CONSTRAINT "receipt_commit_first_position_check" CHECK ("first_position" > 0), CONSTRAINT "receipt_commit_count_check" CHECK ("count" > 0) )
CREATE TABLE "receipt_index" ( "position" integer NOT NULL PRIMARY KEY, "order_id" text NOT NULL, "receipt_id" text NOT NULL, "kind" text NOT NULL )
CREATE INDEX "receipt_index_order_id_position_index" ON "receipt_index" ("order_id", "position")
CREATE INDEX "receipt_index_receipt_id_position_index" ON "receipt_index" ("receipt_id", "position")
CREATE TABLE "registration" ( "id" text NOT NULL PRIMARY KEY, "stream_version" integer NOT NULL, "state" text NOT NULL, "title" text NOT NULL, "owner" text NOT NULL, "created_at" text NOT NULL, "updated_at" text NOT NULL, "position" integer NOT NULL, "body" text NOT NULL, FOREIGN KEY ("position") REFERENCES "journal" ("position") )
CREATE INDEX "registration_owner_index" ON "registration" ("owner", "id")
CREATE INDEX "registration_state_index" ON "registration" ("state", "id")
CREATE TABLE "release_refusal" ( "resources" text NOT NULL, "consumer" text NOT NULL, "day" text NOT NULL, "count" integer NOT NULL, CONSTRAINT "release_refusal_pkey" PRIMARY KEY ("resources", "consumer", "day"), CONSTRAINT "release_refusal_count_check" CHECK ("count" > 0) )
CREATE TABLE "released" ( "position" integer NOT NULL PRIMARY KEY, "resources" text NOT NULL, "consumer" text NOT NULL, "family" text NOT NULL, "contributors_min" integer NOT NULL, "contributors_max" integer NOT NULL, "sketch" blob NOT NULL, CONSTRAINT "released_position_check" CHECK ("position" > 0), CONSTRAINT "released_contributors_check" CHECK ("contributors_min" <= "contributors_max") )
CREATE INDEX "released_family_index" ON "released" ("resources", "consumer", "family", "position")
CREATE TABLE "resource" ( "id" text NOT NULL PRIMARY KEY, "stream_version" integer NOT NULL, "state" text NOT NULL, "title" text NOT NULL, "owner" text NOT NULL, "created_at" text NOT NULL, "updated_at" text NOT NULL, "position" integer NOT NULL, "body" text NOT NULL, FOREIGN KEY ("position") REFERENCES "journal" ("position") )
CREATE INDEX "resource_owner_index" ON "resource" ("owner", "id")
CREATE INDEX "resource_state_index" ON "resource" ("state", "id")
CREATE TABLE "right" ( "id" text NOT NULL PRIMARY KEY, "stream_version" integer NOT NULL, "state" text NOT NULL, "title" text NOT NULL, "owner" text NOT NULL, "created_at" text NOT NULL, "updated_at" text NOT NULL, "position" integer NOT NULL, "body" text NOT NULL, FOREIGN KEY ("position") REFERENCES "journal" ("position") )
CREATE INDEX "right_owner_index" ON "right" ("owner", "id")
CREATE INDEX "right_state_index" ON "right" ("state", "id")
CREATE TABLE "sequencer" ( "id" integer NOT NULL PRIMARY KEY, "epoch" integer NOT NULL, "holder" text NOT NULL, "seen_at_unix_ms" integer NOT NULL, "published_size" integer NOT NULL, CONSTRAINT "sequencer_id_check" CHECK ("id" = 1), CONSTRAINT "sequencer_epoch_check" CHECK ("epoch" > 0), CONSTRAINT "sequencer_published_size_check" CHECK ("published_size" >= 0) )
CREATE TABLE "service_key" ( "hash" blob NOT NULL PRIMARY KEY, "order_id" text NOT NULL, "last_four" text NOT NULL, "created_at" text NOT NULL, "revoked_at" text , "scram_sealed" blob)
CREATE INDEX "service_key_order_id_index" ON "service_key" ("order_id")
CREATE TABLE "session" ( "token_hash" blob NOT NULL PRIMARY KEY, "user_id" text NOT NULL, "csrf" text NOT NULL, "created_at" text NOT NULL, "expires_at" text NOT NULL, "idle_expires_at" text NOT NULL, FOREIGN KEY ("user_id") REFERENCES "login" ("user_id") )
CREATE INDEX "session_user_id_index" ON "session" ("user_id")
CREATE TABLE "settlement" ( "id" text NOT NULL PRIMARY KEY, "stream_version" integer NOT NULL, "state" text NOT NULL, "title" text NOT NULL, "owner" text NOT NULL, "created_at" text NOT NULL, "updated_at" text NOT NULL, "position" integer NOT NULL, "body" text NOT NULL, FOREIGN KEY ("position") REFERENCES "journal" ("position") )
CREATE INDEX "settlement_owner_index" ON "settlement" ("owner", "id")
CREATE INDEX "settlement_state_index" ON "settlement" ("state", "id")
CREATE TABLE "stream" ( "stream" text NOT NULL PRIMARY KEY, "version" integer NOT NULL, CONSTRAINT "stream_version_check" CHECK ("version" > 0) )
CREATE TABLE "supply" ( "id" text NOT NULL PRIMARY KEY, "stream_version" integer NOT NULL, "state" text NOT NULL, "title" text NOT NULL, "owner" text NOT NULL, "created_at" text NOT NULL, "updated_at" text NOT NULL, "position" integer NOT NULL, "body" text NOT NULL, FOREIGN KEY ("position") REFERENCES "journal" ("position") )
CREATE INDEX "supply_owner_index" ON "supply" ("owner", "id")
CREATE INDEX "supply_state_index" ON "supply" ("state", "id")
CREATE TABLE "ticket" ( "id" text NOT NULL PRIMARY KEY, "stream_version" integer NOT NULL, "state" text NOT NULL, "title" text NOT NULL, "owner" text NOT NULL, "created_at" text NOT NULL, "updated_at" text NOT NULL, "position" integer NOT NULL, "body" text NOT NULL, FOREIGN KEY ("position") REFERENCES "journal" ("position") )
CREATE INDEX "ticket_owner_index" ON "ticket" ("owner", "id")
CREATE INDEX "ticket_state_index" ON "ticket" ("state", "id")
CREATE TABLE "trace" ( "id" text NOT NULL PRIMARY KEY, "stream_version" integer NOT NULL, "state" text NOT NULL, "title" text NOT NULL, "owner" text NOT NULL, "created_at" text NOT NULL, "updated_at" text NOT NULL, "position" integer NOT NULL, "body" text NOT NULL, FOREIGN KEY ("position") REFERENCES "journal" ("position") )
CREATE INDEX "trace_owner_index" ON "trace" ("owner", "id")
CREATE INDEX "trace_state_index" ON "trace" ("state", "id")
CREATE TABLE "user" ( "id" text NOT NULL PRIMARY KEY, "stream_version" integer NOT NULL, "state" text NOT NULL, "title" text NOT NULL, "owner" text NOT NULL, "created_at" text NOT NULL, "updated_at" text NOT NULL, "position" integer NOT NULL, "body" text NOT NULL, FOREIGN KEY ("position") REFERENCES "journal" ("position") )
CREATE INDEX "user_owner_index" ON "user" ("owner", "id")
CREATE INDEX "user_state_index" ON "user" ("state", "id")
CREATE TABLE "vault_erased" ( "subject" text NOT NULL PRIMARY KEY, "erased_at" text NOT NULL )
CREATE TABLE "vault_index" ( "digest" blob NOT NULL PRIMARY KEY, "subject" text NOT NULL, FOREIGN KEY ("subject") REFERENCES "vault_key" ("subject") )
CREATE INDEX "vault_index_subject_index" ON "vault_index" ("subject")
CREATE TABLE "vault_item" ( "id" text NOT NULL PRIMARY KEY, "subject" text NOT NULL, "kind" text NOT NULL, "sealed" blob NOT NULL, FOREIGN KEY ("subject") REFERENCES "vault_key" ("subject") )
CREATE INDEX "vault_item_subject_index" ON "vault_item" ("subject")
CREATE TABLE "vault_key" ( "subject" text NOT NULL PRIMARY KEY, "wrapped" blob NOT NULL )
CREATE TRIGGER witnessed_moves_on BEFORE UPDATE ON witnessed WHEN NEW.origin <> OLD.origin OR NEW.origin_hash <> OLD.origin_hash OR NEW.size < OLD.size OR (NEW.size = OLD.size AND NEW.root <> OLD.root) BEGIN SELECT RAISE(ABORT, 'witnessed_moves_on: what was cosigned is never taken back'); END
CREATE TRIGGER witnessed_stays BEFORE DELETE ON witnessed BEGIN SELECT RAISE(ABORT, 'witnessed_stays: what was cosigned is never forgotten'); END
CREATE TRIGGER witnessed_stays_replace BEFORE INSERT ON witnessed WHEN EXISTS (SELECT 1 FROM witnessed WHERE origin = NEW.origin OR origin_hash = NEW.origin_hash) BEGIN SELECT RAISE(ABORT, 'witnessed_stays: what was cosigned is never replaced'); END
CREATE TABLE "witnessed" ( "origin" text NOT NULL, "origin_hash" text NOT NULL, "size" integer NOT NULL, "root" blob NOT NULL, "note" text NOT NULL, CONSTRAINT "witnessed_pkey" PRIMARY KEY ("origin"), CONSTRAINT "witnessed_origin_hash_unique" UNIQUE ("origin_hash"), CONSTRAINT "witnessed_size_check" CHECK ("size" >= 0) )
