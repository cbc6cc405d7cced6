// Written by `npm run client` from crates/api/golden/openapi.json. Not to be edited.

export interface paths {
    "/api/v1/commands": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Gives a command. Commands that carry facts which the node itself establishes (snapshots, metering windows, service
         *     keys) are refused here; they have addresses of their own.
         */
        post: operations["give_command"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/consents": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Takes a consent that a person gives. For a handler of a consent agent, before whom the person is; one who is tied to the
         *     consumer is refused.
         */
        post: operations["take_consent"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/consents/batches": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Takes consents in the same words that many persons gave, each of them himself: all of them or none. For a handler of a
         *     consent agent. Like a single one, each is withdrawn and narrowed by its person alone.
         */
        post: operations["take_consents"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/consents/counts": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Counts of consents: all of them for oversight, those given to the viewer's own party for everybody else. */
        get: operations["count_consents"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/consents/narrowings": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Takes the narrowing of a consent: fewer resources or columns, a shorter term. Answers the name under which what is left goes
         *     on. For a handler of a consent agent, of whichever took the consent.
         */
        post: operations["take_narrowing"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/consents/of-person": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * The consents of a person who is before a handler of a consent agent, withdrawn ones among them. Nothing is changed; it is a POST
         *     so that the person does not stand in an address.
         */
        post: operations["list_consents_of_person"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/consents/withdrawals": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Takes the withdrawal of a consent. It is in force at the next request; a delivery with the person in it that is running stops.
         *     For a handler of a consent agent, of whichever took the consent.
         */
        post: operations["take_withdrawal"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/erasures": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A page, newest first. */
        get: operations["list_erasures"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/erasures/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One. */
        get: operations["get_erasure"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/inbox": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What waits for the viewer: entities whose next step he could take now. */
        get: operations["inbox"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/ingestions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Jobs, newest first: a provider's own, and all of them for those who supervise. */
        get: operations["list_ingestions"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/ingestions/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A job with how far it has come by now. */
        get: operations["get_ingestion"];
        put?: never;
        post?: never;
        /** Cancels a job that has not ended; what was read of it is thrown away. */
        delete: operations["cancel_ingestion"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/ingestions/{id}/rejects": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The rejected rows of a job, one JSON object a line: `line`, `column`, `reason`, what was `expected`, what kind was `found` and how
         *     long it was. The values are not told. For users of the provider alone.
         */
        get: operations["ingestion_rejects"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/journal": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Events of the journal: all of them for the data authority and the auditor, for everybody else those of the entities that
         *     he may open. A page may be shorter than its limit; it was the last one when it names no next page.
         */
        get: operations["list_journal"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/ledger": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The ledger of one settlement or of the newest ones. */
        get: operations["ledger"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/lineage/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What the node did to data, as events of OpenLineage; for the data authority and the auditor. */
        get: operations["list_lineage_events"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/lineage/orders/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Where the data of an order comes from. */
        get: operations["get_order_lineage"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/lineage/products/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Where a product comes from. */
        get: operations["get_product_lineage"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/lineage/receipts/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Where one delivery came from. */
        get: operations["get_receipt_lineage"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/lineage/resources/{id}/columns/{column}/deliveries": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Who received what came from a column of a resource: the deliveries that used it, of the orders that the viewer may open. */
        get: operations["list_deliveries_of_column"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/lineage/resources/{id}/columns/{column}/downstream": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The products and orders that use a column of a resource: all of them for its provider and for those who supervise, for
         *     everybody else the products that are public and his own orders.
         */
        get: operations["list_downstream"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/mandates": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A page, newest first. */
        get: operations["list_mandates"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/mandates/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One. */
        get: operations["get_mandate"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/market": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The listed products. */
        get: operations["market"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/meters": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A page, newest first. */
        get: operations["list_meters"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/meters/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One. */
        get: operations["get_meter"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/node": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The node. */
        get: operations["get_node"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/orders": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A page, newest first. */
        get: operations["list_orders"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/orders/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One. */
        get: operations["get_order"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/orders/{id}/evidence": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The order's evidence as a file that anyone can check offline with `lingqu audit verify`. */
        get: operations["export_evidence"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/orders/{id}/journey": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The way of an order, link by link, with what happened to each and who did it. */
        get: operations["get_journey"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/orders/{id}/key-request": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What the node asks of the auditor for an order whose copies are marked. */
        get: operations["get_key_request"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/orders/{id}/key-shares": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Gives the auditor's shares of an order's keys. The node seals them and commits to the keys in the journal; deliveries of the
         *     order can then begin. The same shares once more change nothing.
         */
        post: operations["give_key_shares"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/orders/{id}/privacy": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The privacy accounts that the order's statistics debit, and what is left of them. */
        get: operations["get_order_privacy"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/orders/{id}/receipts": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The order's receipt records, oldest first. They hold no personal data. */
        get: operations["list_receipts"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/orders/{id}/service-keys": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Issues a service key of the order. It is shown in this answer and never again. */
        post: operations["issue_service_key"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/parties": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A page, newest first. */
        get: operations["list_parties"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/parties/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One. */
        get: operations["get_party"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/permits": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A page, newest first. */
        get: operations["list_permits"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/permits/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One. */
        get: operations["get_permit"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/permitted-revenues": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A page, newest first. */
        get: operations["list_permitted_revenues"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/permitted-revenues/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One. */
        get: operations["get_permitted_revenue"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/plans": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A page, newest first. */
        get: operations["list_plans"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/plans/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One. */
        get: operations["get_plan"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/products": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A page, newest first. */
        get: operations["list_products"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/products/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One. */
        get: operations["get_product"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/products/{id}/offer": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What a product offers now. */
        get: operations["get_offer"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/quality-reports": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A page, newest first. */
        get: operations["list_quality_reports"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/quality-reports/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One. */
        get: operations["get_quality_report"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/receipts/query": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Asks about deliveries in SQL, over the table `receipts` with a row for each that ended. The data authority and the auditor ask
         *     about all, a party about those of orders that it may open. Nothing is changed; it is a POST because a statement may be long.
         */
        post: operations["query_receipts"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/registrations": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A page, newest first. */
        get: operations["list_registrations"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/registrations/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One. */
        get: operations["get_registration"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/resources": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A page, newest first. */
        get: operations["list_resources"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/resources/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One. */
        get: operations["get_resource"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/resources/{id}/ingestions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Takes a source file as the body and queues its reading into the resource's next snapshot: 202 with the job. The columns of the
         *     catalogue entry are demanded of the file by name or meaning, and type. The same file read in the same way, while its snapshot is
         *     still the newest or its job under way, answers that job: 200.
         */
        post: operations["begin_ingestion"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/resources/{id}/live": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Declares that a resource's data stays in its department's database and is read there for each answer. The table must have the
         *     columns of the catalogue entry. What was agreed is recorded as a snapshot without rows.
         */
        post: operations["declare_live"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/resources/{id}/quality-reports": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Runs a rule set over the resource's newest snapshot and records the report; its findings open tickets. The body is a
         *     rule set: name, version, rules.
         */
        post: operations["run_quality"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/resources/{id}/snapshots": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Every version of the resource's data, newest first, as the journal recorded them. */
        get: operations["list_snapshots"];
        put?: never;
        /**
         * Takes a source file as the body, records it as the resource's next snapshot, and answers when that is done; an ingestion
         *     does the same without waiting. The columns of the catalogue entry are demanded of the file by name or meaning, and type; a
         *     bad file is refused with line and column.
         */
        post: operations["import_snapshot"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/resources/{id}/table-ingestions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Begins to take a table in: a job, as with an uploaded file. The connection must be one of the node's configuration that
         *     belongs to the resource's provider.
         */
        post: operations["begin_table_ingestion"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/rights": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A page, newest first. */
        get: operations["list_rights"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/rights/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One. */
        get: operations["get_right"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/session": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The session of the cookie. */
        get: operations["current_session"];
        put?: never;
        /**
         * Signs in: sets the session's cookie and answers the token for changes. Unknown login and wrong password get the same
         *     answer; too many attempts of one login name have to wait.
         */
        post: operations["sign_in"];
        /** Signs out: the session ends here and everywhere. */
        delete: operations["sign_out"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/session/password": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Changes the viewer's own password: the first one is known to the administrator who added him. All his sessions end. */
        post: operations["change_password"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/settlements": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A page, newest first. */
        get: operations["list_settlements"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/settlements/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One. */
        get: operations["get_settlement"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/subjects/me/uses": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Every delivery that had a row of the person whose pass is sent: when, to whom, under which order and permits, for what, and how
         *     many of his rows; newest first.
         */
        get: operations["list_own_uses"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/subjects/passes": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Gives a person who is before a handler of a consent agent a pass, with which he reads the uses of his data for a quarter of an
         *     hour. Nothing is recorded of the person.
         */
        post: operations["give_person_pass"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/supplies": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A page, newest first. */
        get: operations["list_supplies"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/supplies/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One. */
        get: operations["get_supply"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/tickets": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A page, newest first. */
        get: operations["list_tickets"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/tickets/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One. */
        get: operations["get_ticket"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/traces": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A page, newest first. */
        get: operations["list_traces"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/traces/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One. */
        get: operations["get_trace"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/users": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A page, newest first. */
        get: operations["list_users"];
        put?: never;
        /** Adds a user with his login. */
        post: operations["add_user"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/users/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One. */
        get: operations["get_user"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/witnesses": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Who cosigns this node's logs, how far each has come, and the logs that this node cosigns. */
        get: operations["get_witnesses"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/public/catalogue": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The listed products, without login. */
        get: operations["public_catalogue"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/public/certificates/{code}/certificate.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A certificate, without login. */
        get: operations["public_certificate"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @description An account, by name. */
        AccountName: {
            /** @description The account's code. */
            code: string;
            /** @description Its Chinese name. */
            name: string;
            /** @description Its English name. */
            name_en: string;
            /** @description Whose: a party's id. */
            owner: string;
            /** @description That party's name. */
            owner_name: string;
            /** @description … in English. */
            owner_name_en: string;
        };
        /** @description Who gives a command. */
        Actor: {
            /** @description A user for his party. */
            user: components["schemas"]["UserId"];
        } | {
            /** @description A data subject for himself. */
            subject: components["schemas"]["SubjectId"];
        } | {
            /** @description A data subject for himself, before a user of a consent agent, who vouches for it that it is he. */
            subject_before: {
                /** @description The subject. */
                subject: components["schemas"]["SubjectId"];
                /** @description The user. */
                user: components["schemas"]["UserId"];
            };
        } | "node";
        /** @description A user that was added. */
        AddedUser: {
            /** @description His id. */
            user: components["schemas"]["UserId"];
        };
        /** @description Where one column of an answer comes from. */
        AnswerColumn: {
            /** @description False where it is a column of the product as it stands. */
            computed?: boolean;
            /** @description The product's columns that its values are made of; none for a constant or a count of rows. */
            from: components["schemas"]["ColumnName"][];
        };
        /** @description The salted digest of an answer. */
        AnswerDigest: {
            /** @description What it is of. */
            form: components["schemas"]["AnswerForm"];
            /** @description SHA-256, hexadecimal: see [`AnswerSalt::digest`]. */
            sha256: string;
        };
        /**
         * @description What the digest of an answer is of.
         * @enum {string}
         */
        AnswerForm: "bytes" | "values" | "value_blocks";
        /** @description Where an answer comes from. */
        AnswerLineage: {
            /** @description True where the plan could not be followed: then every column that the session shows stands in both. */
            at_most?: boolean;
            /**
             * @description The answer's columns in their order, at most [`ANSWER_COLUMNS_MAX`]. They have no names here: a name may be the
             *     consumer's own text.
             */
            columns: components["schemas"]["AnswerColumn"][];
            /** @description The product's columns that the consumer chose rows by: in filters, joins, groupings and sorts. */
            conditions: components["schemas"]["ColumnName"][];
        };
        /** @description A column of an answer. */
        AnsweredColumn: {
            /** @description False where it is a column of the product as it stands. */
            computed: boolean;
            /** @description The product's columns that it is made of. */
            from: components["schemas"]["TracedColumn"][];
        };
        /** @description A witness that the node asks to cosign one of its logs. */
        AskedWitness: {
            /** @description The same in words, with what to do. */
            answer?: string | null;
            /**
             * Format: int64
             * @description Entries that are published and that it has not cosigned.
             */
            behind: number;
            /**
             * Format: int64
             * @description When it says that it cosigned, in seconds since 1970.
             */
            cosigned_at?: number | null;
            /** @description Whether it cosigns the twin log instead of the log over SHA-256. */
            of_twin: boolean;
            /**
             * @description What its last answer came to: `cosigned`, `unreachable`, `unknown_log`, `not_trusted`, `ahead`, `inconsistent`, `no_proof`
             *     or `other`; absent before it was asked.
             */
            outcome?: string | null;
            /**
             * Format: int64
             * @description The size of the log that it cosigned last; absent before the first.
             */
            size?: number | null;
            /** @description Where it is asked. */
            url: string;
            /** @description The key with which it cosigns (C2SP signed-note). */
            vkey: string;
        };
        /**
         * @description 授权运营模式: overall, by field or by scenario.
         * @enum {string}
         */
        AuthorisationMode: "overall" | "by_field" | "by_scenario";
        /**
         * @description Which days are worked. Monday to Friday, but for `holidays`, and the weekends in `working_weekends` (调休), as the
         *     State Council publishes them year by year.
         */
        Calendar: {
            /** @description Days off that would be worked. */
            holidays: string[];
            /**
             * Format: int32
             * @description The last year whose schedule is published.
             */
            published_through_year: number;
            /** @description Name of this version, recorded with each event. */
            version: string;
            /** @description Weekend days that are worked. */
            working_weekends: string[];
        };
        /** @description What carries a bit. */
        Carrier: {
            /**
             * @description Numbers or times that move by some steps. Columns that a constraint ties move together by their coefficients, so that
             *     the constraint goes on holding.
             */
            number: {
                /**
                 * Format: int32
                 * @description By how many steps a coefficient of one moves.
                 */
                amplitude: number;
                /** @description The columns, the anchor first. */
                members: components["schemas"]["Member"][];
            };
        } | {
            /** @description Coordinates in degrees. */
            place: {
                /**
                 * Format: int32
                 * @description Digits after the point that they keep.
                 */
                decimals: number;
                /** @description Column of the latitude. */
                latitude: components["schemas"]["ColumnName"];
                /** @description Column of the longitude. */
                longitude: components["schemas"]["ColumnName"];
                /**
                 * Format: int32
                 * @description How far at most.
                 */
                metres: number;
            };
        } | {
            /** @description Texts that are taken for each other. */
            category: {
                /** @description The column. */
                column: components["schemas"]["ColumnName"];
                /** @description The sets. */
                sets: string[][];
            };
        };
        /** @description What a product's price may not exceed, per charging unit. */
        Ceiling: {
            /** @description Per call: a verification, a lookup, a query or a page of rows. */
            per_call: string;
            /** @description Per data set: one snapshot set delivered as a file. */
            per_data_set: string;
            /** @description The permitted revenue it stands within. */
            permitted_revenue: components["schemas"]["PermittedRevenueId"];
        };
        /** @description What a registration ends in: a code that anyone can check. */
        Certificate: {
            /** @description 登记编码: division, kind, year, serial; unique in the node. */
            code: string;
            /** @description When it was issued. */
            issued_at: string;
            /** @description The registration it came from. */
            registration: components["schemas"]["RegistrationId"];
            /** @description Until when it holds. */
            valid_until: string;
        };
        /** @description A record of the receipt log by which a use is checked. */
        CheckedRecord: {
            /** @description `opened` (who, why, under which order), `part` (rows of one batch) or `single` (both). */
            kind: string;
            /**
             * Format: int64
             * @description Index of the log entry that commits to it; absent before that was done, which takes about a second.
             */
            log_entry?: number | null;
            /**
             * Format: int64
             * @description The place of its pair of digests in that entry, from 0.
             */
            place?: number | null;
            /**
             * Format: int64
             * @description Its position in the receipt log.
             */
            position: number;
            /** @description The salt, 16 bytes, hexadecimal; absent where the record names rows of others. */
            salt?: string | null;
            /** @description SHA-256 of its salt and text, as it stands in the log entry, hexadecimal. */
            sha256: string;
            /** @description The same by SM3. */
            sm3: string;
            /** @description The record's canonical text, likewise. */
            text?: string | null;
        };
        /** @description The newest signed head of the transparency log. */
        Checkpoint: {
            /** @description The whole signed note (C2SP tlog-checkpoint). */
            note: string;
            /** @description The log's name. */
            origin: string;
            /** @description Root hash of the Merkle tree, base64. */
            root: string;
            /**
             * Format: int64
             * @description Entries it covers.
             */
            size: number;
            twin?: components["schemas"]["TwinCheckpoint"] | null;
            /** @description The key that verifies it, in the form of C2SP signed-note. */
            vkey: string;
        };
        /** @description An information item (信息项). */
        Column: {
            /** @description Type. */
            data_type: components["schemas"]["DataType"];
            /** @description Grade. */
            grade: components["schemas"]["Grade"];
            /** @description Meaning, in Chinese. */
            meaning: string;
            /** @description Name. */
            name: components["schemas"]["ColumnName"];
        };
        /** @description A column of another type. */
        ColumnChange: {
            /** @description The column. */
            column: string;
            /** @description The type wanted. */
            expected: components["schemas"]["DataType"];
            /** @description The type found. */
            found: components["schemas"]["DataType"];
        };
        /**
         * @description The name of a column: 1 to 64 of `a-z`, `0-9` and `_`, beginning with a letter; names that begin with `__` are
         *     the engine's own.
         */
        ColumnName: string;
        /** @description Something that is asked of the domain. */
        Command: {
            /** @description The first data authority; its first administrator comes with it. */
            authority: components["schemas"]["PartyDetails"];
            /** @enum {string} */
            command: "initialise_node";
            /** @description Its division. */
            division: components["schemas"]["Division"];
            /** @description Its tier. */
            tier: components["schemas"]["Tier"];
        } | {
            /** @enum {string} */
            command: "propose_rulebook";
            /** @description The rulebook. */
            rulebook: components["schemas"]["Rulebook"];
        } | {
            /** @enum {string} */
            command: "adopt_rulebook";
            /** @description The rulebook as proposed, all of it: what is adopted is what the approver saw. */
            rulebook: components["schemas"]["Rulebook"];
        } | {
            /** @enum {string} */
            command: "register_party";
            /** @description What is said of it. */
            details: components["schemas"]["PartyDetails"];
        } | {
            /** @enum {string} */
            command: "add_user";
            /** @description His posts. */
            duties: components["schemas"]["Duty"][];
            /** @description The party. */
            party: components["schemas"]["PartyId"];
        } | {
            /** @enum {string} */
            command: "disable_user";
            /** @description The user. */
            user: components["schemas"]["UserId"];
        } | {
            /** @enum {string} */
            command: "draft_resource";
            /** @description The entry. */
            details: components["schemas"]["ResourceDetails"];
        } | {
            /** @enum {string} */
            command: "sign_resource";
            /** @description The resource. */
            resource: components["schemas"]["ResourceId"];
        } | {
            /** @enum {string} */
            command: "record_snapshot";
            /** @description The resource. */
            resource: components["schemas"]["ResourceId"];
            /** @description The snapshot. */
            snapshot: components["schemas"]["Snapshot"];
        } | {
            /** @enum {string} */
            command: "record_quality_report";
            /** @description The resource. */
            resource: components["schemas"]["ResourceId"];
            /** @description Results per rule. */
            results: components["schemas"]["RuleResult"][];
            /** @description The snapshot it is about. */
            snapshot: components["schemas"]["SnapshotId"];
        } | {
            /** @description Cause and what was done. */
            answer: string;
            /** @enum {string} */
            command: "answer_ticket";
            /** @description The ticket. */
            ticket: components["schemas"]["TicketId"];
        } | {
            /** @enum {string} */
            command: "close_ticket";
            /** @description The ticket. */
            ticket: components["schemas"]["TicketId"];
            /** @description What was verified. */
            verification: string;
        } | {
            /** @enum {string} */
            command: "apply_registration";
            /** @description What is registered. */
            object: components["schemas"]["Registrable"];
        } | {
            /** @enum {string} */
            command: "accept_registration";
            /** @description The registration. */
            registration: components["schemas"]["RegistrationId"];
        } | {
            /** @enum {string} */
            command: "return_registration";
            /** @description What is missing. */
            missing: string;
            /** @description The registration. */
            registration: components["schemas"]["RegistrationId"];
        } | {
            /** @enum {string} */
            command: "review_registration";
            /** @description The registration. */
            registration: components["schemas"]["RegistrationId"];
        } | {
            /** @enum {string} */
            command: "certify_registration";
            /** @description The registration. */
            registration: components["schemas"]["RegistrationId"];
        } | {
            /** @enum {string} */
            command: "request_supply";
            /** @description What for. */
            need: string;
            /** @description The resource. */
            resource: components["schemas"]["ResourceId"];
        } | {
            /** @enum {string} */
            command: "confirm_supply";
            /** @description What of the resource's ceiling. */
            narrowing: components["schemas"]["Narrowing"];
            /** @description The supply. */
            supply: components["schemas"]["SupplyId"];
        } | {
            /** @description The legal basis. */
            basis: string;
            /** @enum {string} */
            command: "refuse_supply";
            /** @description The supply. */
            supply: components["schemas"]["SupplyId"];
        } | {
            /** @enum {string} */
            command: "withdraw_supply";
            /** @description Why. */
            reason: string;
            /** @description The supply. */
            supply: components["schemas"]["SupplyId"];
        } | {
            /** @enum {string} */
            command: "set_privacy_budget";
            /** @description Why. */
            reason: string;
            /** @description The budget from now on, as ρ of zCDP; what was spent stays spent. */
            rho: components["schemas"]["Rho"];
            /** @description The supply. */
            supply: components["schemas"]["SupplyId"];
        } | {
            /** @enum {string} */
            command: "draft_plan";
            /** @description What it says. */
            details: components["schemas"]["PlanDetails"];
        } | {
            /** @enum {string} */
            command: "submit_plan";
            /** @description Number of the minutes. */
            minutes: string;
            /** @description The plan. */
            plan: components["schemas"]["PlanId"];
        } | {
            /** @enum {string} */
            command: "approve_plan";
            /** @description Number of the approval document. */
            document: string;
            /** @description The plan. */
            plan: components["schemas"]["PlanId"];
        } | {
            /** @enum {string} */
            command: "return_plan";
            /** @description The plan. */
            plan: components["schemas"]["PlanId"];
            /** @description Why. */
            reason: string;
        } | {
            /** @enum {string} */
            command: "draft_mandate";
            /** @description What they say. */
            details: components["schemas"]["MandateDetails"];
        } | {
            /** @enum {string} */
            command: "approve_mandate";
            /** @description The mandate. */
            mandate: components["schemas"]["MandateId"];
        } | {
            /** @enum {string} */
            command: "sign_agreement";
            /** @description The mandate. */
            mandate: components["schemas"]["MandateId"];
        } | {
            /** @enum {string} */
            command: "suspend_mandate";
            /** @description The mandate. */
            mandate: components["schemas"]["MandateId"];
            /** @description Why. */
            reason: string;
        } | {
            /** @enum {string} */
            command: "resume_mandate";
            /** @description The mandate. */
            mandate: components["schemas"]["MandateId"];
            /** @description Why. */
            reason: string;
        } | {
            /** @enum {string} */
            command: "revoke_mandate";
            /** @description The mandate. */
            mandate: components["schemas"]["MandateId"];
            /** @description Why. */
            reason: string;
        } | {
            /** @enum {string} */
            command: "apply_permit";
            /** @description What it is for. */
            details: components["schemas"]["PermitDetails"];
        } | {
            /** @enum {string} */
            command: "confirm_permit";
            /** @description The permit. */
            permit: components["schemas"]["PermitId"];
        } | {
            /** @description Whether it agrees. */
            agrees: boolean;
            /** @enum {string} */
            command: "give_opinion";
            /** @description The permit. */
            permit: components["schemas"]["PermitId"];
            /** @description Its words. */
            text: string;
        } | {
            /** @enum {string} */
            command: "approve_permit";
            /** @description The permit. */
            permit: components["schemas"]["PermitId"];
        } | {
            /** @enum {string} */
            command: "refuse_permit";
            /** @description The permit. */
            permit: components["schemas"]["PermitId"];
            /** @description Why. */
            reason: string;
        } | {
            /** @enum {string} */
            command: "suspend_permit";
            /** @description The permit. */
            permit: components["schemas"]["PermitId"];
            /** @description Why. */
            reason: string;
        } | {
            /** @enum {string} */
            command: "resume_permit";
            /** @description The permit. */
            permit: components["schemas"]["PermitId"];
            /** @description Why. */
            reason: string;
        } | {
            /** @enum {string} */
            command: "draft_product";
            /** @description What it is. */
            details: components["schemas"]["ProductDetails"];
        } | {
            /** @enum {string} */
            command: "review_product_output";
            /** @description What was looked at. */
            findings: string;
            /** @description The product. */
            product: components["schemas"]["ProductId"];
        } | {
            /** @enum {string} */
            command: "fix_permitted_revenue";
            /** @description Appraised operating cost. */
            cost: string;
            /** @description The operator. */
            operator: components["schemas"]["PartyId"];
            /** @description Permitted profit, as a fraction of the cost. */
            profit_rate: string;
            /** @description Taxes. */
            tax: string;
            /** @description The period. */
            term: components["schemas"]["Term"];
            /** @description Ten-year treasury yield, as a fraction. */
            treasury_yield: string;
        } | {
            /** @description The ceiling. */
            ceiling: components["schemas"]["Ceiling"];
            /** @enum {string} */
            command: "set_ceiling";
            /** @description The product. */
            product: components["schemas"]["ProductId"];
        } | {
            /** @enum {string} */
            command: "set_price";
            /** @description The price. */
            price: components["schemas"]["Price"];
            /** @description The product. */
            product: components["schemas"]["ProductId"];
        } | {
            /** @enum {string} */
            command: "list_product";
            /** @description The product. */
            product: components["schemas"]["ProductId"];
        } | {
            /** @enum {string} */
            command: "delist_product";
            /** @description The product. */
            product: components["schemas"]["ProductId"];
            /** @description Why. */
            reason: string;
        } | {
            /** @enum {string} */
            command: "place_order";
            /** @description What is ordered. */
            details: components["schemas"]["OrderDetails"];
        } | {
            /** @enum {string} */
            command: "sign_contract";
            /** @description The order. */
            order: components["schemas"]["OrderId"];
            /** @description Digest of the terms that the signer saw. */
            terms_digest: string;
        } | {
            /** @enum {string} */
            command: "issue_service_key";
            /** @description SHA-256 of the key, hexadecimal: 256 random bits, so the hash tells nothing of it. */
            hash: string;
            /** @description The order. */
            order: components["schemas"]["OrderId"];
        } | {
            /** @enum {string} */
            command: "revoke_service_key";
            /** @description The key. */
            key: components["schemas"]["ServiceKeyId"];
            /** @description The order. */
            order: components["schemas"]["OrderId"];
        } | {
            /** @enum {string} */
            command: "give_key_shares";
            /** @description The commitments, which the node makes. */
            commitments: components["schemas"]["KeyCommitments"];
            /** @description The order. */
            order: components["schemas"]["OrderId"];
        } | {
            /** @enum {string} */
            command: "renew_mark_keys";
            /** @description One of the consumer's orders of the product. */
            order: components["schemas"]["OrderId"];
            /** @description Why: the case. */
            reason: string;
        } | {
            /** @enum {string} */
            command: "suspend_order";
            /** @description The order. */
            order: components["schemas"]["OrderId"];
            /** @description Why. */
            reason: string;
        } | {
            /** @enum {string} */
            command: "resume_order";
            /** @description The order. */
            order: components["schemas"]["OrderId"];
            /** @description Why. */
            reason: string;
        } | {
            /** @enum {string} */
            command: "end_order";
            /** @description The order. */
            order: components["schemas"]["OrderId"];
            /** @description Why. */
            reason: string;
        } | {
            /** @enum {string} */
            command: "give_consent";
            /** @description What is permitted. */
            details: components["schemas"]["ConsentDetails"];
        } | {
            /** @enum {string} */
            command: "withdraw_consent";
            /** @description The consent. */
            consent: components["schemas"]["ConsentId"];
        } | {
            /** @enum {string} */
            command: "narrow_consent";
            /** @description The consent. */
            consent: components["schemas"]["ConsentId"];
            /** @description What is left. */
            limits: components["schemas"]["ConsentLimits"];
        } | {
            /** @enum {string} */
            command: "record_consents";
            /**
             * Format: int32
             * @description How many there are.
             */
            count: number;
            /** @description What each of them permits. */
            details: components["schemas"]["ConsentDetails"];
            /** @description Digest of the subjects' ids in order, hexadecimal SHA-256. */
            digest: string;
        } | {
            /** @description The batch. */
            batch: components["schemas"]["ConsentBatchId"];
            /** @enum {string} */
            command: "withdraw_batched_consent";
            /**
             * Format: int32
             * @description His place in it, counted from 0.
             */
            member: number;
        } | {
            /** @description The batch. */
            batch: components["schemas"]["ConsentBatchId"];
            /** @enum {string} */
            command: "narrow_batched_consent";
            /** @description What is left. */
            limits: components["schemas"]["ConsentLimits"];
            /**
             * Format: int32
             * @description His place in it, counted from 0.
             */
            member: number;
        } | {
            /** @enum {string} */
            command: "close_meter";
            /** @description What was used, one reading per order. */
            readings: components["schemas"]["MeterReading"][];
        } | {
            /**
             * Format: int64
             * @description Chargeable calls, at most those read.
             */
            calls: number;
            /** @enum {string} */
            command: "propose_meter_correction";
            /**
             * Format: int64
             * @description Chargeable data sets, at most those read.
             */
            data_sets: number;
            /** @description The window. */
            meter: components["schemas"]["MeterId"];
            /** @description Why. */
            reason: string;
        } | {
            /**
             * Format: int64
             * @description Chargeable calls, as proposed.
             */
            calls: number;
            /** @enum {string} */
            command: "agree_meter_correction";
            /**
             * Format: int64
             * @description Chargeable data sets, as proposed.
             */
            data_sets: number;
            /** @description The window. */
            meter: components["schemas"]["MeterId"];
        } | {
            /** @enum {string} */
            command: "close_settlement";
            /** @description Name of the period. */
            period: string;
        } | {
            /** @enum {string} */
            command: "confirm_settlement";
            /** @description The settlement. */
            settlement: components["schemas"]["SettlementId"];
        } | {
            /** @enum {string} */
            command: "reverse_settlement";
            /** @description Why. */
            reason: string;
            /** @description The settlement. */
            settlement: components["schemas"]["SettlementId"];
        } | {
            /** @description How much. */
            amount: string;
            /** @enum {string} */
            command: "record_voucher";
            /** @description Number of the voucher. */
            number: string;
            /** @description The settlement. */
            settlement: components["schemas"]["SettlementId"];
        } | {
            /** @enum {string} */
            command: "record_trace";
            /** @description What was traced, how, and what came of it. */
            details: components["schemas"]["TraceDetails"];
        } | {
            /** @enum {string} */
            command: "record_erasure";
            /** @description Of what. */
            object: components["schemas"]["Erasable"];
            /** @description Why. It stays for good, so it holds no personal data. */
            reason: string;
        };
        /** @description A command on an entity: what to send, what to ask the user for, and whether it may be given now. */
        CommandChoice: {
            /** @description Whether it would be accepted now. */
            allowed: boolean;
            /** @description Why not, as a code. */
            code?: string | null;
            /** @description The command's name. */
            command: string;
            /** @description Duties of which the user needs one; empty: any. */
            duties: components["schemas"]["Duty"][];
            /** @description The body for `POST /api/v1/commands`, but for the inputs. */
            form: Record<string, never>;
            /** @description What the user adds. */
            inputs: components["schemas"]["CommandInput"][];
            /** @description Why not, in Chinese. */
            reason?: string | null;
            /** @description Why not, in English. */
            reason_en?: string | null;
            /** @description Roles of which the user's party needs one; empty: any. */
            roles: components["schemas"]["Role"][];
        };
        /** @description One event of a command. */
        CommandEvent: {
            /** @description Its kind, such as `mandate.suspended`. */
            kind: string;
            /** @description The entity it happened to. */
            stream: string;
        };
        /** @description A field that the user fills in. */
        CommandInput: {
            /** @description What is typed: `text`, `yuan` (a decimal) or `flag`. */
            kind: string;
            /** @description The field's name. */
            name: string;
            /** @description What stands there at first. */
            value?: string | null;
        };
        /** @description What a command came to. */
        CommandResult: {
            /** @description The command's id in the journal. */
            command_id: string;
            /** @description What happened, in order. */
            events: components["schemas"]["CommandEvent"][];
            /** @description True when the idempotency key was known: this is the first answer again, and nothing happened a second time. */
            repeated: boolean;
        };
        /**
         * @description How a column is compared with a literal.
         * @enum {string}
         */
        Comparison: "equal" | "not_equal" | "less" | "less_or_equal" | "greater" | "greater_or_equal";
        /** @description Consents of many subjects that were recorded together. */
        ConsentBatchId: string;
        /** @description How many consents there are. */
        ConsentCounts: {
            /**
             * Format: int64
             * @description Ever given.
             */
            given: number;
            /**
             * Format: int64
             * @description In force now.
             */
            in_force: number;
            /**
             * Format: int64
             * @description Withdrawn by their subjects.
             */
            withdrawn: number;
        };
        /** @description What a subject permits. */
        ConsentDetails: {
            /** @description To whom. */
            consumer: components["schemas"]["PartyId"];
            /** @description Which columns of a resource. A resource that is not named here: all of its columns. */
            fields?: {
                [key: string]: components["schemas"]["ColumnName"][];
            };
            /** @description What for. */
            purpose: components["schemas"]["Purpose"];
            /** @description About which resources. */
            resources: components["schemas"]["ResourceId"][];
            /** @description The words that were shown to him: informed, in plain language. */
            statement: string;
            /** @description From when until when. */
            term: components["schemas"]["Term"];
        };
        /** @description A consent that a person gives. */
        ConsentForm: {
            /** @description What he permits. */
            details: components["schemas"]["ConsentDetails"];
            /** @description What names the person in the data, such as his id number; it goes into the sealed vault and nowhere else. */
            identity: string;
        };
        /** @description A consent (授权同意). */
        ConsentId: string;
        /** @description What a subject leaves of a consent. It lies within what he gave; consumer, purpose and statement stay. */
        ConsentLimits: {
            /** @description Which columns of a resource. A resource that is not named here: all of its columns. */
            fields?: {
                [key: string]: components["schemas"]["ColumnName"][];
            };
            /** @description About which resources. */
            resources: components["schemas"]["ResourceId"][];
            /** @description From when until when. */
            term: components["schemas"]["Term"];
        };
        /** @description Consents in the same words that many persons gave, each of them himself. */
        ConsentsForm: {
            /** @description What each of them permits. */
            details: components["schemas"]["ConsentDetails"];
            /** @description What names the persons, 1 to 10,000, each once. */
            identities: string[];
        };
        /** @description The terms that both sides sign. */
        Contract: {
            /** @description The price at the time of ordering, which later changes do not touch. */
            price: components["schemas"]["Price"];
            /** @description Who signed for which party. */
            signatures: {
                [key: string]: components["schemas"]["Actor"];
            };
            /** @description SHA-256 of the terms' canonical JSON (order details, parties and price), hexadecimal: what is signed. */
            terms_digest: string;
        };
        /** @description What a person types. */
        Credentials: {
            /** @description Login name. */
            login: string;
            /** @description Password. */
            password: string;
        };
        /**
         * @description Type of a column's values.
         * @enum {string}
         */
        DataType: "text" | "integer" | "float" | "decimal" | "boolean" | "date" | "local_timestamp" | "timestamp";
        /** @description What may be used on one day in Beijing. A delivery counts on the day on which it begins. */
        DayQuota: {
            /**
             * Format: int64
             * @description Bytes of answers.
             */
            bytes?: number | null;
            /**
             * Format: int64
             * @description Calls.
             */
            calls?: number | null;
            /**
             * Format: int64
             * @description Files.
             */
            data_sets?: number | null;
            /**
             * Format: int64
             * @description Rows of answers.
             */
            rows?: number | null;
            /**
             * Format: int64
             * @description Distinct subjects.
             */
            subjects?: number | null;
        };
        /** @description A day by which something must be done. */
        Deadline: {
            /** @description The last day. */
            on: string;
            /** @description True when it lies in a year whose holidays are not yet published. */
            provisional: boolean;
        };
        /** @description A delivery that used a column. */
        DeliveredItem: {
            /** @description When it began, RFC 3339. */
            at: string;
            /** @description True where no more is known than that it may have been used so. */
            at_most: boolean;
            /** @description The product's columns by which the column was used. */
            columns: string[];
            /** @description Whether rows of the answer were chosen by it. */
            condition: boolean;
            /** @description Who received it. */
            consumer: string;
            /** @description Its name, in Chinese. */
            consumer_name: string;
            /** @description … in English. */
            consumer_name_en: string;
            /** @description The mode. */
            mode: components["schemas"]["Mode"];
            /** @description REAL or SYNTHETIC. */
            nature: components["schemas"]["Nature"];
            /** @description The order. */
            order: string;
            /** @description The product. */
            product: string;
            /** @description The protocol. */
            protocol: string;
            /** @description For which purpose. */
            purpose: string;
            /** @description The receipt. */
            receipt: string;
            /** @description Whether values of the answer were made of it. */
            values: boolean;
        };
        /** @description A page of deliveries. */
        DeliveredPage: {
            /** @description The deliveries, order by order, each order's oldest first. */
            items: components["schemas"]["DeliveredItem"][];
            /**
             * @description Where the next page begins; absent at the end. A page may be shorter than its limit, even empty, and have a next
             *     one.
             */
            next_cursor?: string | null;
        };
        /** @description A column that others determine: rows that agree in these agree in it. */
        Dependency: {
            /** @description What determines it. */
            by: components["schemas"]["ColumnName"][];
            /** @description What is determined. */
            column: components["schemas"]["ColumnName"];
        };
        /** @description A GB/T 2260 division code: six digits. */
        Division: string;
        /** @description A product that uses a column, with an order for it or, where there is none that the viewer may open, alone. */
        DownstreamItem: {
            /** @description Its columns that are made of the column. */
            columns: string[];
            /** @description Whether the column decides which rows the product has. */
            condition: boolean;
            /** @description The order's consumer. */
            consumer?: string | null;
            /** @description Its name, in Chinese. */
            consumer_name?: string | null;
            /** @description … in English. */
            consumer_name_en?: string | null;
            /** @description The order. */
            order?: string | null;
            /** @description Where the order stands. */
            order_state?: string | null;
            /** @description The product. */
            product: string;
            /** @description Its name. */
            product_name: string;
            /** @description Where it stands. */
            product_state: string;
        };
        /** @description A page of products and orders. */
        DownstreamPage: {
            /** @description The items, by product and order. */
            items: components["schemas"]["DownstreamItem"][];
            /** @description Where the next page begins; absent after the last item. */
            next_cursor?: string | null;
        };
        /** @description How columns differ. Names and types, never values. */
        Drift: {
            /** @description Columns that only the source has. */
            added: string[];
            /** @description Columns of another type. */
            changed: components["schemas"]["ColumnChange"][];
            /** @description Columns that the source lacks. */
            missing: string[];
            /** @description Whether the columns stand in another order, which harms nothing. */
            reordered: boolean;
        };
        /**
         * @description A post within a party.
         * @enum {string}
         */
        Duty: "administrator" | "handler" | "approver" | "chief_data_officer";
        /** @description How a column's values are numbers. */
        Encoding: {
            /** @description Numbers that are multiples of a step. */
            lattice: {
                /** @description The step. */
                step: string;
            };
        } | {
            /** @description Days and moments. */
            time: {
                /** @description The step in seconds. */
                step: string;
            };
        } | "hours_minutes";
        /** @description An entity with what the journal knows of it and what the viewer could do with it. */
        Entry_Erasure: {
            /** @description An erasure that was decided. */
            body: {
                /** @description Who had it erased. */
                by: components["schemas"]["Actor"];
                /** @description Its id. */
                id: components["schemas"]["ErasureId"];
                /** @description Of what. */
                object: components["schemas"]["Erasable"];
                /** @description Why. */
                reason: string;
            };
            /** @description Commands that concern it, each with whether the viewer could give it now. */
            commands: components["schemas"]["CommandChoice"][];
            /** @description Time of its first event, RFC 3339. */
            created_at: string;
            /** @description Its id. */
            id: string;
            /** @description The id of whom or what it belongs to. */
            owner: string;
            /**
             * Format: int64
             * @description Journal position of its last event.
             */
            position: number;
            /** @description Name of its state. */
            state: string;
            /**
             * Format: int64
             * @description Version of its stream: what `If-Match` names.
             */
            stream_version: number;
            /** @description Its title. */
            title: string;
            /** @description Time of its last event, RFC 3339. */
            updated_at: string;
        };
        /** @description An entity with what the journal knows of it and what the viewer could do with it. */
        Entry_Mandate: {
            /** @description A mandate. */
            body: {
                approved_by?: components["schemas"]["Actor"] | null;
                /** @description What it says. */
                details: components["schemas"]["MandateDetails"];
                /** @description Who drafted it. */
                drafted_by: components["schemas"]["Actor"];
                /** @description Its id. */
                id: components["schemas"]["MandateId"];
                /** @description Who authorises. */
                implementer: components["schemas"]["PartyId"];
                /** @description Who signed the agreement for which party. */
                signatures: {
                    [key: string]: components["schemas"]["Actor"];
                };
                /** @description Where it stands. */
                stage: components["schemas"]["MandateStage"];
            };
            /** @description Commands that concern it, each with whether the viewer could give it now. */
            commands: components["schemas"]["CommandChoice"][];
            /** @description Time of its first event, RFC 3339. */
            created_at: string;
            /** @description Its id. */
            id: string;
            /** @description The id of whom or what it belongs to. */
            owner: string;
            /**
             * Format: int64
             * @description Journal position of its last event.
             */
            position: number;
            /** @description Name of its state. */
            state: string;
            /**
             * Format: int64
             * @description Version of its stream: what `If-Match` names.
             */
            stream_version: number;
            /** @description Its title. */
            title: string;
            /** @description Time of its last event, RFC 3339. */
            updated_at: string;
        };
        /** @description An entity with what the journal knows of it and what the viewer could do with it. */
        Entry_Meter: {
            /** @description A closed metering window. */
            body: {
                /** @description When it was closed. */
                closed_at: string;
                correction?: components["schemas"]["MeterCorrection"] | null;
                /** @description Its id. */
                id: components["schemas"]["MeterId"];
                proposal?: components["schemas"]["MeterCorrection"] | null;
                /** @description What was used. */
                reading: components["schemas"]["MeterReading"];
                settlement?: components["schemas"]["SettlementId"] | null;
            };
            /** @description Commands that concern it, each with whether the viewer could give it now. */
            commands: components["schemas"]["CommandChoice"][];
            /** @description Time of its first event, RFC 3339. */
            created_at: string;
            /** @description Its id. */
            id: string;
            /** @description The id of whom or what it belongs to. */
            owner: string;
            /**
             * Format: int64
             * @description Journal position of its last event.
             */
            position: number;
            /** @description Name of its state. */
            state: string;
            /**
             * Format: int64
             * @description Version of its stream: what `If-Match` names.
             */
            stream_version: number;
            /** @description Its title. */
            title: string;
            /** @description Time of its last event, RFC 3339. */
            updated_at: string;
        };
        /** @description An entity with what the journal knows of it and what the viewer could do with it. */
        Entry_Order: {
            /** @description An order. */
            body: {
                /**
                 * Format: int32
                 * @description Which replacement of the consumer's code for the product it is in; the first one is 0.
                 */
                code_epoch?: number;
                /** @description Who orders. */
                consumer: components["schemas"]["PartyId"];
                /** @description The contract. */
                contract: components["schemas"]["Contract"];
                /** @description What. */
                details: components["schemas"]["OrderDetails"];
                /** @description Its id. */
                id: components["schemas"]["OrderId"];
                mark_keys?: components["schemas"]["MarkKeys"] | null;
                /** @description The keys before, that were renewed, the first ones first: copies by them are still about. */
                mark_keys_before?: components["schemas"]["MarkKeys"][];
                /** @description The product's operator. */
                operator: components["schemas"]["PartyId"];
                /** @description Who placed it. */
                placed_by: components["schemas"]["Actor"];
                /** @description Service keys. */
                service_keys: components["schemas"]["ServiceKeyRecord"][];
                /** @description Where it stands. */
                stage: components["schemas"]["OrderStage"];
            };
            /** @description Commands that concern it, each with whether the viewer could give it now. */
            commands: components["schemas"]["CommandChoice"][];
            /** @description Time of its first event, RFC 3339. */
            created_at: string;
            /** @description Its id. */
            id: string;
            /** @description The id of whom or what it belongs to. */
            owner: string;
            /**
             * Format: int64
             * @description Journal position of its last event.
             */
            position: number;
            /** @description Name of its state. */
            state: string;
            /**
             * Format: int64
             * @description Version of its stream: what `If-Match` names.
             */
            stream_version: number;
            /** @description Its title. */
            title: string;
            /** @description Time of its last event, RFC 3339. */
            updated_at: string;
        };
        /** @description An entity with what the journal knows of it and what the viewer could do with it. */
        Entry_Party: {
            /** @description A registered party. */
            body: {
                /** @description 统一社会信用代码. */
                credit_code: string;
                /** @description Division. */
                division: components["schemas"]["Division"];
                /** @description Its id. */
                id: components["schemas"]["PartyId"];
                /** @description Name in Chinese. */
                name: string;
                /** @description Name in English. */
                name_en: string;
                /** @description Kind of organisation. */
                organisation: components["schemas"]["Organisation"];
                /** @description Roles. */
                roles: components["schemas"]["Role"][];
                /** @description Tier. */
                tier: components["schemas"]["Tier"];
                /** @description Declared equity ties. */
                ties: components["schemas"]["PartyId"][];
            };
            /** @description Commands that concern it, each with whether the viewer could give it now. */
            commands: components["schemas"]["CommandChoice"][];
            /** @description Time of its first event, RFC 3339. */
            created_at: string;
            /** @description Its id. */
            id: string;
            /** @description The id of whom or what it belongs to. */
            owner: string;
            /**
             * Format: int64
             * @description Journal position of its last event.
             */
            position: number;
            /** @description Name of its state. */
            state: string;
            /**
             * Format: int64
             * @description Version of its stream: what `If-Match` names.
             */
            stream_version: number;
            /** @description Its title. */
            title: string;
            /** @description Time of its last event, RFC 3339. */
            updated_at: string;
        };
        /** @description An entity with what the journal knows of it and what the viewer could do with it. */
        Entry_Permit: {
            /** @description A permit. */
            body: {
                /** @description Who applied. */
                applied_by: components["schemas"]["Actor"];
                confirmations: {
                    [key: string]: components["schemas"]["Actor"] | null;
                };
                /** @description What it is for. */
                details: components["schemas"]["PermitDetails"];
                /** @description Its id. */
                id: components["schemas"]["PermitId"];
                /** @description The implementer that decides. */
                implementer: components["schemas"]["PartyId"];
                /** @description The operator that applied. */
                operator: components["schemas"]["PartyId"];
                opinion?: components["schemas"]["Opinion"] | null;
                /** @description Where it stands. */
                stage: components["schemas"]["PermitStage"];
            };
            /** @description Commands that concern it, each with whether the viewer could give it now. */
            commands: components["schemas"]["CommandChoice"][];
            /** @description Time of its first event, RFC 3339. */
            created_at: string;
            /** @description Its id. */
            id: string;
            /** @description The id of whom or what it belongs to. */
            owner: string;
            /**
             * Format: int64
             * @description Journal position of its last event.
             */
            position: number;
            /** @description Name of its state. */
            state: string;
            /**
             * Format: int64
             * @description Version of its stream: what `If-Match` names.
             */
            stream_version: number;
            /** @description Its title. */
            title: string;
            /** @description Time of its last event, RFC 3339. */
            updated_at: string;
        };
        /** @description An entity with what the journal knows of it and what the viewer could do with it. */
        Entry_PermittedRevenue: {
            /** @description What an operator may earn in a period. */
            body: {
                /** @description Who fixed it. */
                by: components["schemas"]["Actor"];
                /** @description Income settled so far. */
                earned: string;
                /** @description Its id. */
                id: components["schemas"]["PermittedRevenueId"];
                /** @description The operator. */
                operator: components["schemas"]["PartyId"];
                /** @description Cost, profit rate and tax. */
                parts: Record<string, never>;
                /** @description The period. */
                term: components["schemas"]["Term"];
                /** @description The ten-year treasury yield it was fixed with, as a fraction. */
                treasury_yield: string;
            };
            /** @description Commands that concern it, each with whether the viewer could give it now. */
            commands: components["schemas"]["CommandChoice"][];
            /** @description Time of its first event, RFC 3339. */
            created_at: string;
            /** @description Its id. */
            id: string;
            /** @description The id of whom or what it belongs to. */
            owner: string;
            /**
             * Format: int64
             * @description Journal position of its last event.
             */
            position: number;
            /** @description Name of its state. */
            state: string;
            /**
             * Format: int64
             * @description Version of its stream: what `If-Match` names.
             */
            stream_version: number;
            /** @description Its title. */
            title: string;
            /** @description Time of its last event, RFC 3339. */
            updated_at: string;
        };
        /** @description An entity with what the journal knows of it and what the viewer could do with it. */
        Entry_Plan: {
            /** @description A plan. */
            body: {
                /** @description What it says. */
                details: components["schemas"]["PlanDetails"];
                /** @description Who drafted it. */
                drafted_by: components["schemas"]["Actor"];
                /** @description Its id. */
                id: components["schemas"]["PlanId"];
                /** @description Whose. */
                implementer: components["schemas"]["PartyId"];
                /** @description Where it stands. */
                stage: components["schemas"]["PlanStage"];
            };
            /** @description Commands that concern it, each with whether the viewer could give it now. */
            commands: components["schemas"]["CommandChoice"][];
            /** @description Time of its first event, RFC 3339. */
            created_at: string;
            /** @description Its id. */
            id: string;
            /** @description The id of whom or what it belongs to. */
            owner: string;
            /**
             * Format: int64
             * @description Journal position of its last event.
             */
            position: number;
            /** @description Name of its state. */
            state: string;
            /**
             * Format: int64
             * @description Version of its stream: what `If-Match` names.
             */
            stream_version: number;
            /** @description Its title. */
            title: string;
            /** @description Time of its last event, RFC 3339. */
            updated_at: string;
        };
        /** @description An entity with what the journal knows of it and what the viewer could do with it. */
        Entry_Product: {
            /** @description A product. */
            body: {
                ceiling?: components["schemas"]["Ceiling"] | null;
                /** @description The ceilings of several implementers. Empty with one implementer. */
                ceilings?: {
                    [key: string]: components["schemas"]["Ceiling"];
                };
                certificate?: components["schemas"]["Certificate"] | null;
                /** @description What it is. */
                details: components["schemas"]["ProductDetails"];
                /** @description Who drafted it. */
                drafted_by: components["schemas"]["Actor"];
                /** @description Its id. */
                id: components["schemas"]["ProductId"];
                /** @description Whose. */
                operator: components["schemas"]["PartyId"];
                /** @description Which of several implementers have passed its output, each with who did. Empty with one implementer. */
                output_agreements?: {
                    [key: string]: components["schemas"]["Actor"];
                };
                price?: components["schemas"]["Price"] | null;
                registration?: components["schemas"]["RegistrationId"] | null;
                /** @description Where it stands. */
                stage: components["schemas"]["ProductStage"];
            };
            /** @description Commands that concern it, each with whether the viewer could give it now. */
            commands: components["schemas"]["CommandChoice"][];
            /** @description Time of its first event, RFC 3339. */
            created_at: string;
            /** @description Its id. */
            id: string;
            /** @description The id of whom or what it belongs to. */
            owner: string;
            /**
             * Format: int64
             * @description Journal position of its last event.
             */
            position: number;
            /** @description Name of its state. */
            state: string;
            /**
             * Format: int64
             * @description Version of its stream: what `If-Match` names.
             */
            stream_version: number;
            /** @description Its title. */
            title: string;
            /** @description Time of its last event, RFC 3339. */
            updated_at: string;
        };
        /** @description An entity with what the journal knows of it and what the viewer could do with it. */
        Entry_QualityReport: {
            /** @description A quality report over one snapshot. */
            body: {
                /** @description Who ran it. */
                by: components["schemas"]["Actor"];
                /** @description Its id. */
                id: components["schemas"]["QualityReportId"];
                /** @description The resource. */
                resource: components["schemas"]["ResourceId"];
                /** @description Results in the order of the rule set. */
                results: components["schemas"]["RuleResult"][];
                /** @description The snapshot. */
                snapshot: components["schemas"]["SnapshotId"];
            };
            /** @description Commands that concern it, each with whether the viewer could give it now. */
            commands: components["schemas"]["CommandChoice"][];
            /** @description Time of its first event, RFC 3339. */
            created_at: string;
            /** @description Its id. */
            id: string;
            /** @description The id of whom or what it belongs to. */
            owner: string;
            /**
             * Format: int64
             * @description Journal position of its last event.
             */
            position: number;
            /** @description Name of its state. */
            state: string;
            /**
             * Format: int64
             * @description Version of its stream: what `If-Match` names.
             */
            stream_version: number;
            /** @description Its title. */
            title: string;
            /** @description Time of its last event, RFC 3339. */
            updated_at: string;
        };
        /** @description An entity with what the journal knows of it and what the viewer could do with it. */
        Entry_Registration: {
            /** @description A registration procedure. */
            body: {
                /** @description The registering party. */
                applicant: components["schemas"]["PartyId"];
                /** @description Who applied. */
                applied_by: components["schemas"]["Actor"];
                /** @description Brief content, as publicity shows it. */
                content: string;
                /** @description Its id. */
                id: components["schemas"]["RegistrationId"];
                /** @description Its name, as publicity shows it. */
                name: string;
                /** @description What is registered. */
                object: components["schemas"]["Registrable"];
                registrar?: components["schemas"]["PartyId"] | null;
                /** @description Where it stands. */
                stage: components["schemas"]["RegistrationStage"];
            };
            /** @description Commands that concern it, each with whether the viewer could give it now. */
            commands: components["schemas"]["CommandChoice"][];
            /** @description Time of its first event, RFC 3339. */
            created_at: string;
            /** @description Its id. */
            id: string;
            /** @description The id of whom or what it belongs to. */
            owner: string;
            /**
             * Format: int64
             * @description Journal position of its last event.
             */
            position: number;
            /** @description Name of its state. */
            state: string;
            /**
             * Format: int64
             * @description Version of its stream: what `If-Match` names.
             */
            stream_version: number;
            /** @description Its title. */
            title: string;
            /** @description Time of its last event, RFC 3339. */
            updated_at: string;
        };
        /** @description An entity with what the journal knows of it and what the viewer could do with it. */
        Entry_Resource: {
            /** @description A catalogued data set. */
            body: {
                certificate?: components["schemas"]["Certificate"] | null;
                /** @description The catalogue entry. */
                details: components["schemas"]["ResourceDetails"];
                /** @description Who drafted it. */
                drafted_by: components["schemas"]["Actor"];
                /** @description Its id. */
                id: components["schemas"]["ResourceId"];
                /** @description The party that holds it and answers for its quality. */
                provider: components["schemas"]["PartyId"];
                registration?: components["schemas"]["RegistrationId"] | null;
                signed_by?: components["schemas"]["Actor"] | null;
                snapshot?: components["schemas"]["Snapshot"] | null;
                /**
                 * Format: int64
                 * @description Count of snapshots taken.
                 */
                snapshot_count: number;
            };
            /** @description Commands that concern it, each with whether the viewer could give it now. */
            commands: components["schemas"]["CommandChoice"][];
            /** @description Time of its first event, RFC 3339. */
            created_at: string;
            /** @description Its id. */
            id: string;
            /** @description The id of whom or what it belongs to. */
            owner: string;
            /**
             * Format: int64
             * @description Journal position of its last event.
             */
            position: number;
            /** @description Name of its state. */
            state: string;
            /**
             * Format: int64
             * @description Version of its stream: what `If-Match` names.
             */
            stream_version: number;
            /** @description Its title. */
            title: string;
            /** @description Time of its last event, RFC 3339. */
            updated_at: string;
        };
        /** @description An entity with what the journal knows of it and what the viewer could do with it. */
        Entry_Right: {
            /** @description A legal position. */
            body: {
                /** @description On what basis: a certificate's code, a mandate's id. */
                basis: string;
                /** @description The moment it ended before its term, if it did. */
                ended_at?: string | null;
                /** @description Who. */
                holder: components["schemas"]["PartyId"];
                /** @description Its id. */
                id: components["schemas"]["RightId"];
                /** @description Which. */
                kind: components["schemas"]["RightKind"];
                /** @description In what: a resource or product id. */
                object: string;
                /** @description From when until when. */
                term: components["schemas"]["Term"];
            };
            /** @description Commands that concern it, each with whether the viewer could give it now. */
            commands: components["schemas"]["CommandChoice"][];
            /** @description Time of its first event, RFC 3339. */
            created_at: string;
            /** @description Its id. */
            id: string;
            /** @description The id of whom or what it belongs to. */
            owner: string;
            /**
             * Format: int64
             * @description Journal position of its last event.
             */
            position: number;
            /** @description Name of its state. */
            state: string;
            /**
             * Format: int64
             * @description Version of its stream: what `If-Match` names.
             */
            stream_version: number;
            /** @description Its title. */
            title: string;
            /** @description Time of its last event, RFC 3339. */
            updated_at: string;
        };
        /** @description An entity with what the journal knows of it and what the viewer could do with it. */
        Entry_Settlement: {
            /** @description A settlement of an operator's period. */
            body: {
                /** @description Which of several implementers have confirmed it, each with who did. Empty with one implementer. */
                agreements?: {
                    [key: string]: components["schemas"]["Actor"];
                };
                /** @description Who closed it. */
                closed_by: components["schemas"]["Actor"];
                confirmed_by?: components["schemas"]["Actor"] | null;
                /** @description Due to each treasury. */
                due: {
                    [key: string]: string;
                };
                /** @description Its id. */
                id: components["schemas"]["SettlementId"];
                /** @description One line per order. */
                lines: components["schemas"]["StatementLine"][];
                /** @description Whose. */
                operator: components["schemas"]["PartyId"];
                /** @description Paid in to each treasury so far. */
                paid_in: {
                    [key: string]: string;
                };
                /** @description Name of the period. */
                period: string;
                permitted_revenue?: components["schemas"]["PermittedRevenueId"] | null;
                reversal?: components["schemas"]["Reversal"] | null;
                /** @description Totals. */
                summary: Record<string, never>;
                /** @description Postings of fees, shares and vouchers. */
                transactions: Record<string, never>[];
                /** @description Numbers of the vouchers. */
                vouchers: string[];
            };
            /** @description Commands that concern it, each with whether the viewer could give it now. */
            commands: components["schemas"]["CommandChoice"][];
            /** @description Time of its first event, RFC 3339. */
            created_at: string;
            /** @description Its id. */
            id: string;
            /** @description The id of whom or what it belongs to. */
            owner: string;
            /**
             * Format: int64
             * @description Journal position of its last event.
             */
            position: number;
            /** @description Name of its state. */
            state: string;
            /**
             * Format: int64
             * @description Version of its stream: what `If-Match` names.
             */
            stream_version: number;
            /** @description Its title. */
            title: string;
            /** @description Time of its last event, RFC 3339. */
            updated_at: string;
        };
        /** @description An entity with what the journal knows of it and what the viewer could do with it. */
        Entry_Supply: {
            /** @description A demand and its answer. */
            body: {
                /** @description Its id. */
                id: components["schemas"]["SupplyId"];
                /** @description Who asks. */
                implementer: components["schemas"]["PartyId"];
                /** @description What for. */
                need: string;
                /** @description Its provider. */
                provider: components["schemas"]["PartyId"];
                /** @description Who asked. */
                requested_by: components["schemas"]["Actor"];
                /** @description The resource. */
                resource: components["schemas"]["ResourceId"];
                /** @description Where it stands. */
                stage: components["schemas"]["SupplyStage"];
            };
            /** @description Commands that concern it, each with whether the viewer could give it now. */
            commands: components["schemas"]["CommandChoice"][];
            /** @description Time of its first event, RFC 3339. */
            created_at: string;
            /** @description Its id. */
            id: string;
            /** @description The id of whom or what it belongs to. */
            owner: string;
            /**
             * Format: int64
             * @description Journal position of its last event.
             */
            position: number;
            /** @description Name of its state. */
            state: string;
            /**
             * Format: int64
             * @description Version of its stream: what `If-Match` names.
             */
            stream_version: number;
            /** @description Its title. */
            title: string;
            /** @description Time of its last event, RFC 3339. */
            updated_at: string;
        };
        /** @description An entity with what the journal knows of it and what the viewer could do with it. */
        Entry_Ticket: {
            /** @description A quality problem. */
            body: {
                /** @description By when it must be answered. */
                deadline: components["schemas"]["Deadline"];
                /** @description Its id. */
                id: components["schemas"]["TicketId"];
                /** @description The provider who must act. */
                provider: components["schemas"]["PartyId"];
                /** @description The report that found it. */
                report: components["schemas"]["QualityReportId"];
                /** @description The resource. */
                resource: components["schemas"]["ResourceId"];
                /** @description What was found. */
                result: components["schemas"]["RuleResult"];
                /** @description Where it stands. */
                stage: components["schemas"]["TicketStage"];
            };
            /** @description Commands that concern it, each with whether the viewer could give it now. */
            commands: components["schemas"]["CommandChoice"][];
            /** @description Time of its first event, RFC 3339. */
            created_at: string;
            /** @description Its id. */
            id: string;
            /** @description The id of whom or what it belongs to. */
            owner: string;
            /**
             * Format: int64
             * @description Journal position of its last event.
             */
            position: number;
            /** @description Name of its state. */
            state: string;
            /**
             * Format: int64
             * @description Version of its stream: what `If-Match` names.
             */
            stream_version: number;
            /** @description Its title. */
            title: string;
            /** @description Time of its last event, RFC 3339. */
            updated_at: string;
        };
        /** @description An entity with what the journal knows of it and what the viewer could do with it. */
        Entry_Trace: {
            /** @description A trace that was run. */
            body: {
                /** @description Who recorded it. */
                by: components["schemas"]["Actor"];
                /** @description What was traced, how, and what came of it. */
                details: components["schemas"]["TraceDetails"];
                /** @description Its id. */
                id: components["schemas"]["TraceId"];
            };
            /** @description Commands that concern it, each with whether the viewer could give it now. */
            commands: components["schemas"]["CommandChoice"][];
            /** @description Time of its first event, RFC 3339. */
            created_at: string;
            /** @description Its id. */
            id: string;
            /** @description The id of whom or what it belongs to. */
            owner: string;
            /**
             * Format: int64
             * @description Journal position of its last event.
             */
            position: number;
            /** @description Name of its state. */
            state: string;
            /**
             * Format: int64
             * @description Version of its stream: what `If-Match` names.
             */
            stream_version: number;
            /** @description Its title. */
            title: string;
            /** @description Time of its last event, RFC 3339. */
            updated_at: string;
        };
        /** @description An entity with what the journal knows of it and what the viewer could do with it. */
        Entry_User: {
            /** @description A user; login name, display name and password stand outside the journal. */
            body: {
                /** @description Whether he may act no more. */
                disabled: boolean;
                /** @description His posts. */
                duties: components["schemas"]["Duty"][];
                /** @description Its id. */
                id: components["schemas"]["UserId"];
                /** @description The party he acts for. */
                party: components["schemas"]["PartyId"];
            };
            /** @description Commands that concern it, each with whether the viewer could give it now. */
            commands: components["schemas"]["CommandChoice"][];
            /** @description Time of its first event, RFC 3339. */
            created_at: string;
            /** @description Its id. */
            id: string;
            /** @description The id of whom or what it belongs to. */
            owner: string;
            /**
             * Format: int64
             * @description Journal position of its last event.
             */
            position: number;
            /** @description Name of its state. */
            state: string;
            /**
             * Format: int64
             * @description Version of its stream: what `If-Match` names.
             */
            stream_version: number;
            /** @description Its title. */
            title: string;
            /** @description Time of its last event, RFC 3339. */
            updated_at: string;
        };
        /** @description What can be erased, by the id that stays. */
        Erasable: {
            /** @description What was asked of a delivery: claim, key or statement. Its receipt stays. */
            request: components["schemas"]["ReceiptId"];
        } | {
            /** @description Who a data subject is. */
            subject: components["schemas"]["SubjectId"];
        };
        /** @description An erasure that was decided. */
        Erasure: {
            /** @description Who had it erased. */
            by: components["schemas"]["Actor"];
            /** @description Its id. */
            id: components["schemas"]["ErasureId"];
            /** @description Of what. */
            object: components["schemas"]["Erasable"];
            /** @description Why. */
            reason: string;
        };
        /** @description An erasure (删除) of personal data. */
        ErasureId: string;
        /** @description Why a job failed. */
        Failure: {
            /** @description The stable code. */
            code: string;
            /** @description What to do, in Chinese. */
            detail: string;
            /** @description … in English. */
            detail_en: string;
        };
        /**
         * @description Grade of a column or resource (GB/T 43697-2024), from low to high.
         * @enum {string}
         */
        Grade: "general_1" | "general_2" | "general_3" | "general_4" | "important" | "core";
        /** @description A person. */
        IdentityForm: {
            /** @description What names him in the data. */
            identity: string;
        };
        /** @description What waits for the viewer. */
        Inbox: {
            /** @description The items, last changed first; at most 200. */
            items: components["schemas"]["InboxItem"][];
        };
        /** @description Something that waits for the viewer. */
        InboxItem: {
            /** @description The commands of the viewer's duty: those that he could give now, and those that he could not yet, with why. */
            commands: components["schemas"]["CommandChoice"][];
            /** @description Its id. */
            id: string;
            /** @description The kind of entity, such as `mandate`. */
            kind: string;
            /** @description Its state. */
            state: string;
            /**
             * Format: int64
             * @description Version of its stream: what `If-Match` names.
             */
            stream_version: number;
            /** @description Its title. */
            title: string;
            /** @description Time of its last event, RFC 3339. */
            updated_at: string;
        };
        /** @description Reading only what is new, by a column that rises with every change of a row. */
        IncrementForm: {
            /** @description Columns that identify a row: one with the key of an earlier one replaces it. Empty: rows are only ever added. */
            key?: components["schemas"]["ColumnName"][];
            /**
             * Format: int64
             * @description How far behind the last watermark the next reading begins: seconds for times, units for whole numbers. Needs a key.
             */
            overlap?: number;
            /** @description The column: a whole number, a date or a time. */
            watermark: components["schemas"]["ColumnName"];
        };
        /** @description A job that reads a source into a snapshot. */
        Ingestion: {
            /** @description Who asked for it: a user's id. */
            actor: string;
            /**
             * Format: int64
             * @description How often it was begun: more than once after an interruption.
             */
            attempts: number;
            /**
             * Format: int64
             * @description Bytes of the source read so far.
             */
            bytes_read: number;
            /**
             * Format: int64
             * @description Bytes of the source; 0 when they are not known.
             */
            bytes_total: number;
            /** @description When it was asked for, RFC 3339. */
            created_at: string;
            drift?: components["schemas"]["Drift"] | null;
            drift_since_last?: components["schemas"]["Drift"] | null;
            encoding?: components["schemas"]["SourceEncoding"] | null;
            /** @description When it ended, RFC 3339. */
            ended_at?: string | null;
            failure?: components["schemas"]["Failure"] | null;
            /** @description Whether its rejected rows can be downloaded. */
            has_rejects: boolean;
            /** @description Its id. */
            id: components["schemas"]["IngestionId"];
            /** @description True when a database's table held the same as the newest snapshot: `snapshot` is that one, and no new one was made. */
            is_unchanged: boolean;
            /** @description The resource. */
            resource: components["schemas"]["ResourceId"];
            resumption?: components["schemas"]["IngestionResumption"] | null;
            /**
             * Format: int64
             * @description About how many rows there are to read, while they are read; 0 where that is not known.
             */
            rows_expected: number;
            /**
             * Format: int64
             * @description Rows read so far, with the rejected ones.
             */
            rows_read: number;
            /**
             * Format: int64
             * @description Rows rejected so far.
             */
            rows_rejected: number;
            snapshot?: components["schemas"]["Snapshot"] | null;
            /** @description SHA-256 of the source, hexadecimal; empty where there is none. */
            source_digest: string;
            /** @description What the source is called. */
            source_name: string;
            /** @description When it began, RFC 3339. */
            started_at?: string | null;
            /** @description `queued`, `running`, `committed`, `failed` or `cancelled`. */
            state: string;
            waiting?: components["schemas"]["IngestionWait"] | null;
        };
        /** @description An ingestion: the reading of a source into a snapshot. */
        IngestionId: string;
        /** @description A page of jobs. */
        IngestionPage: {
            /** @description The jobs, newest first. */
            items: components["schemas"]["Ingestion"][];
            /** @description Where the next page begins; absent after the last job. */
            next_cursor?: string | null;
        };
        /** @description How far a reading could be gone on from. All rows are read again; from the first difference on everything is written anew. */
        IngestionResumption: {
            /**
             * Format: int64
             * @description Rows that had been finished.
             */
            finished_rows: number;
            /**
             * Format: int64
             * @description Those of them that were kept: the table still holds the same there.
             */
            kept_rows: number;
        };
        /** @description Why a job waits. */
        IngestionWait: {
            /** @description What is wrong with its source. */
            reason: components["schemas"]["Failure"];
            /** @description When it is tried again, RFC 3339; asking for the same again has it tried at once. */
            retry_at: string;
            /**
             * Format: int64
             * @description How often it was put off.
             */
            times: number;
        };
        /** @description An event of the journal. */
        JournalEvent: {
            /** @description Who gave the command: a user's id, a subject's id, one before whom a subject acted (`sub_…/usr_…`), or `node`. */
            actor: string;
            /** @description When, RFC 3339. */
            at: string;
            /** @description What happened, in the journal's canonical form; for the data authority and the auditor alone. */
            body?: Record<string, never> | null;
            /** @description The command's id. */
            command_id: string;
            /** @description The kind of entity, such as `mandate`. */
            entity: string;
            /** @description Its kind, such as `mandate.suspended`. */
            kind: string;
            /** @description Whether the viewer may open the entity. */
            open: boolean;
            /** @description The party he acted for, in Chinese; absent for the node and for subjects who acted before nobody. */
            party?: string | null;
            /** @description … in English. */
            party_en?: string | null;
            /**
             * Format: int64
             * @description Its place, from 1, without gaps.
             */
            position: number;
            /** @description The entity it happened to. */
            stream: string;
            /**
             * Format: int64
             * @description Version of the entity after it.
             */
            stream_version: number;
            /** @description The entity's title now. */
            title: string;
        };
        /** @description A page of the journal. */
        JournalPage: {
            /** @description The events, oldest first, or newest first if that was asked for. */
            items: components["schemas"]["JournalEvent"][];
            /**
             * Format: int64
             * @description What `after` of the next page is; absent at the head.
             */
            next_after?: number | null;
            /**
             * Format: int64
             * @description What `before` of the next page is, newest first; absent at the beginning.
             */
            next_before?: number | null;
        };
        /** @description An order's way from the resources it is made of to the settlement of what it used. */
        Journey: {
            /** @description Whether it has a grant now. */
            granted: boolean;
            /** @description The order. */
            order: string;
            /** @description Why not, in Chinese. */
            refusal?: string | null;
            /** @description … in English. */
            refusal_en?: string | null;
            /** @description Which link is not in force, by id. */
            refused_link?: string | null;
            /** @description The links in the order of the life of data. */
            steps: components["schemas"]["JourneyStep"][];
        };
        /** @description One event of a link. */
        JourneyEvent: {
            /** @description Who gave the command: a user's id, a subject's id or `node`. */
            actor: string;
            /** @description When, RFC 3339. */
            at: string;
            /** @description Its kind, such as `mandate.suspended`. */
            kind: string;
            /** @description The party he acted for, in Chinese; absent for subjects and the node. */
            party?: string | null;
            /** @description … in English. */
            party_en?: string | null;
            /**
             * Format: int64
             * @description Its place in the journal.
             */
            position: number;
        };
        /** @description One link of an order's journey. */
        JourneyStep: {
            /** @description What happened to it, in order. */
            events: components["schemas"]["JourneyEvent"][];
            /** @description Its id. */
            id: string;
            /** @description The kind of entity, such as `mandate`. */
            kind: string;
            /** @description Whether the viewer may open it. */
            open: boolean;
            /** @description Its state. */
            state: string;
            /** @description Its title. */
            title: string;
        };
        /** @description What copies keep beside ties within a row and the domains of values. It stands in the contract. */
        Keeps: {
            /**
             * @description Dependencies that hold in the data and not in copies. Every other one goes on holding.
             * @default []
             */
            breaks: components["schemas"]["Dependency"][];
            /**
             * @description Bounds of mean and deviation, for each marked column of numbers, times or coordinates, and of shares, for each of
             *     categories; over all rows of the product.
             * @default {
             *       "deviation_per_million": 1000,
             *       "mean_per_million": 100
             *     }
             */
            moments: components["schemas"]["MomentBounds"];
            /**
             * @description Columns by which rows stay in their order: one that was before another stays before it.
             * @default []
             */
            order: components["schemas"]["ColumnName"][];
            /**
             * Format: int32
             * @description How far a mark may reach, in millionths of what is left of a column's standard deviation when the other columns are
             *     known; and in the same measure how well these may tell the texts of a set apart. A mark that reaches beyond a fifth can be
             *     found by whoever knows how the columns hang together.
             * @default 200000
             */
            reach_per_million: number;
            /**
             * @description Columns whose sum is exact in each row, and so over any rows. One column alone is exact.
             * @default []
             */
            totals: components["schemas"]["ColumnName"][][];
        };
        /** @description Salted commitments to the three keys of an order: each a SHA-256 and an SM3 digest. */
        KeyCommitments: {
            /**
             * Format: int32
             * @description Which replacement of the consumer's code for the product and of its orders' codes; the first one is 0.
             */
            code_epoch?: number;
            /**
             * Format: int32
             * @description Which replacement of the product's key of positions.
             */
            epoch: number;
            /** @description To the order's key. */
            order: string;
            /** @description To the key of positions: one for all orders of the product. */
            positions: string;
            /** @description The profile of the product's marking. */
            profile: components["schemas"]["MarkProfile"];
            /** @description To the consumer's key: one for all its orders of the product, in one epoch. */
            recipient: string;
        };
        /** @description The ledger. */
        LedgerView: {
            /** @description The settlements, newest first. */
            settlements: components["schemas"]["SettlementView"][];
            /** @description True when there were more transactions than one answer holds; the balance is over all of them. */
            shortened: boolean;
            /** @description Their transactions in order. */
            transactions: components["schemas"]["TransactionView"][];
            /** @description The trial balance. */
            trial_balance: components["schemas"]["TrialBalanceView"];
        };
        /** @description A page of OpenLineage events. */
        LineageEventPage: {
            /** @description The events (OpenLineage 2-0-2). */
            items: Record<string, never>[];
            /**
             * @description Where the next page begins; absent at the end. A page may be shorter than its limit, even empty, and have a next
             *     one.
             */
            next_cursor?: string | null;
        };
        /** @description A source column with what its catalogue entry says. */
        LineageItem: {
            /** @description The column. */
            column: string;
            grade?: components["schemas"]["Grade"] | null;
            /** @description What it means. */
            meaning: string;
            /** @description The resource's id. */
            resource: string;
            /** @description Its name. */
            resource_name: string;
            /** @description Its table. */
            table: string;
        };
        Literal: {
            text: string;
        } | {
            /** Format: int64 */
            integer: number;
        } | {
            /** @description An exact decimal. */
            decimal: string;
        } | {
            /** @description `YYYY-MM-DD` */
            date: string;
        } | {
            /** @description RFC 3339 */
            timestamp: string;
        } | {
            boolean: boolean;
        };
        /**
         * @description Where the data of a live resource stays: a table of its department's own database, read for each answer and never
         *     stored by the node. It names a connection of the node's configuration; addresses and passwords stand there alone.
         */
        LiveSource: {
            /** @description The connection. */
            connection: string;
            /** @description The schema of the table. */
            schema: string;
            /** @description The table or view. */
            table: string;
        };
        /** @description How far the published log is behind the node's records. */
        LogLag: {
            /**
             * Format: int64
             * @description Milliseconds since the published log held everything that was recorded; 0 while it does.
             */
            behind_ms: number;
            /**
             * Format: int64
             * @description Entries that no published checkpoint covers yet.
             */
            entries_unpublished: number;
            /**
             * Format: int64
             * @description Receipt records that no entry of the log commits to yet.
             */
            receipts_uncommitted: number;
        };
        /** @description A mandate. */
        Mandate: {
            approved_by?: components["schemas"]["Actor"] | null;
            /** @description What it says. */
            details: components["schemas"]["MandateDetails"];
            /** @description Who drafted it. */
            drafted_by: components["schemas"]["Actor"];
            /** @description Its id. */
            id: components["schemas"]["MandateId"];
            /** @description Who authorises. */
            implementer: components["schemas"]["PartyId"];
            /** @description Who signed the agreement for which party. */
            signatures: {
                [key: string]: components["schemas"]["Actor"];
            };
            /** @description Where it stands. */
            stage: components["schemas"]["MandateStage"];
        };
        /** @description What a mandate and its agreement say. */
        MandateDetails: {
            /** @description The agreement's clauses beyond these. */
            clauses: string;
            /** @description What of the plan's list. */
            items: {
                [key: string]: components["schemas"]["Narrowing"];
            };
            /** @description 名称 */
            name: string;
            /** @description The operator. */
            operator: components["schemas"]["PartyId"];
            /** @description The plan above it. */
            plan: components["schemas"]["PlanId"];
            /** @description Revenue. */
            revenue: components["schemas"]["RevenueTerms"];
            /** @description How the operator was chosen: procedure and document. */
            selection: string;
            /** @description Term. */
            term: components["schemas"]["Term"];
        };
        /** @description A mandate (授权). */
        MandateId: string;
        /** @description Where a mandate stands. Expiry is computed from the term. */
        MandateStage: "drafted" | "approved" | "in_force" | {
            /** @description Suspended. */
            suspended: {
                /** @description Who. */
                by: components["schemas"]["Actor"];
                /** @description Why. */
                reason: string;
            };
        } | {
            /** @description Revoked for good. */
            revoked: {
                /** @description Who. */
                by: components["schemas"]["Actor"];
                /** @description Why. */
                reason: string;
            };
        };
        /** @description One kind of position: a column, or columns that one bit moves together. */
        Mark: {
            /**
             * @description Columns that the mark hangs on instead of the row's key: rows that agree in them and in the value are marked alike, so
             *     that what these columns determine they go on determining in each copy. Empty: each row by itself.
             */
            by?: components["schemas"]["ColumnName"][];
            /** @description What carries the bit. */
            carrier: components["schemas"]["Carrier"];
            /** @description Its name within the product, in the form of a column's. */
            name: components["schemas"]["ColumnName"];
            /**
             * Format: int32
             * @description How many of a million cells that can bear it are marked.
             */
            rate_per_million: number;
        };
        /** @description What a provider declares of its resource: the chief data officer signs it with the catalogue entry. */
        MarkDeclaration: {
            /**
             * @description Whether any of it is credit information (信用信息): it is then exact. There is no default: who declares a tolerance
             *     says so.
             */
            credit_data: boolean;
            /** @description What may be changed in copies. */
            limits: components["schemas"]["MarkLimits"];
        };
        /** @description What the node asks of the half-holder for one order. It holds no secret. */
        MarkKeyRequest: {
            /**
             * Format: int32
             * @description Which replacement of the consumer's code and of its orders' codes; the first one is 0.
             */
            code_epoch?: number;
            /** @description Its consumer. */
            consumer: components["schemas"]["PartyId"];
            /**
             * Format: int32
             * @description Which replacement of the product's key of positions.
             */
            epoch: number;
            /** @description The order. */
            order: components["schemas"]["OrderId"];
            /** @description Its product. */
            product: components["schemas"]["ProductId"];
            /** @description The profile of the product's marking. */
            profile: components["schemas"]["MarkProfile"];
        };
        /** @description The half-holder's shares of an order's keys, as `lingqu regulator share` writes them. */
        MarkKeyShares: {
            /** @description Of the order's key. */
            order: string;
            /** @description Of the key of positions: 64 hexadecimal digits. */
            positions: string;
            /** @description Of the consumer's key. */
            recipient: string;
            /** @description What was asked. */
            request: components["schemas"]["MarkKeyRequest"];
        };
        /** @description The keys of an order. */
        MarkKeys: {
            /** @description What was committed to. */
            commitments: components["schemas"]["KeyCommitments"];
            /** @description Who gave the shares. */
            given_by: components["schemas"]["Actor"];
            /** @description Who holds the half that is not the node's. */
            holder: components["schemas"]["PartyId"];
        };
        /** @description What marks may at most change in copies of a table. Nothing, unless it is said. */
        MarkLimits: {
            /**
             * Format: int32
             * @description How many decoys a copy may hold for a million rows, at most [`DECOYS_PER_MILLION_MAX`].
             * @default 0
             */
            decoys_per_million: number;
            /**
             * @description How far mean and deviation of a marked column may be off in copies, and the share of a text; a ten-thousandth and a
             *     thousandth of the deviation, and a thousandth of the rows, unless it is said.
             * @default {
             *       "deviation_per_million": 1000,
             *       "mean_per_million": 100
             *     }
             */
            moments: components["schemas"]["MomentBounds"];
            /**
             * Format: int32
             * @description How many rows of a million a copy may lack, at most [`OMITTED_PER_MILLION_MAX`].
             * @default 0
             */
            omitted_per_million: number;
            /**
             * @description The columns whose values may be off, and by how much; every other column is exact.
             * @default {}
             */
            tolerances: {
                [key: string]: components["schemas"]["Tolerance"];
            };
        };
        /**
         * @description Which ciphers draw marks and which digest derives their keys.
         * @enum {string}
         */
        MarkProfile: "aes-sha256" | "sm4-sm3";
        /** @description A page of the market. */
        Market: {
            /** @description The products, newest first. */
            items: components["schemas"]["MarketItem"][];
            /** @description Where the next page begins; absent after the last item. */
            next_cursor?: string | null;
        };
        /** @description A product as the market shows it. */
        MarketItem: {
            ceiling?: components["schemas"]["UnitPrices"] | null;
            /** @description Code of its registration certificate. */
            certificate?: string | null;
            /**
             * Format: int32
             * @description The smallest group an answer may describe.
             */
            cohort_floor: number;
            /** @description Whether a subject's consent is needed. */
            consent_required: boolean;
            /** @description Purposes that are free of charge besides public governance and public interest. */
            free_purposes: components["schemas"]["Purpose"][];
            /** @description By which modes answers leave; empty while the chain is not in force. */
            modes: components["schemas"]["Mode"][];
            /** @description Its name. */
            name: string;
            /** @description … in English. */
            name_en: string;
            /** @description REAL, or SYNTHETIC when any input is. */
            nature: components["schemas"]["Nature"];
            /** @description Who operates it. */
            operator: components["schemas"]["PartyName"];
            price?: components["schemas"]["UnitPrices"] | null;
            /** @description Its id. */
            product: string;
            /** @description Whose data it is made from. */
            providers: components["schemas"]["PartyName"][];
            /** @description For which purposes. */
            purposes: components["schemas"]["Purpose"][];
            /** @description Why it can't be used now, if so: the refusal of the first link that is not in force, in Chinese. */
            refusal?: string | null;
            /** @description … in English. */
            refusal_en?: string | null;
            /** @description Where it stands: listed, delisted and so on. */
            state: string;
            /** @description What it is. */
            summary: string;
            /** @description Table name in SQL, and the name in the data plane's addresses. */
            table: string;
            term?: components["schemas"]["Term"] | null;
            /** @description Time of the last change, RFC 3339. */
            updated_at: string;
        };
        /** @description How copies of a product are marked. It can't be changed while copies are out, so it is part of the product. */
        Marking: {
            /**
             * Format: int32
             * @description How many rows that do not exist are laid among a million rows, at most; each copy has its own share of them.
             */
            decoys_per_million?: number;
            keeps?: components["schemas"]["Keeps"] | null;
            /** @description The marks in values. None where no value may change. */
            marks?: components["schemas"]["Mark"][];
            /**
             * Format: int32
             * @description How many rows of a million each copy lacks; the weight of the others is delivered.
             */
            omitted_per_million?: number;
            /** @description Which ciphers draw the marks. */
            profile: components["schemas"]["MarkProfile"];
        };
        /** @description The bounds of a measured column. Values beyond are taken for the bound; values between two steps for the nearer one. */
        MeasureBounds: {
            /** @description The values of which a quantile is one, multiples of the step, ascending; none: no quantiles. */
            candidates?: string[];
            /** @description The smallest value, a multiple of the step. */
            lower: string;
            /** @description The step: values are counted in multiples of it, so that all arithmetic is of whole numbers. */
            step: string;
            /** @description The largest value, a multiple of the step. */
            upper: string;
        };
        /** @description One column of a number mark. */
        Member: {
            /**
             * Format: int32
             * @description By how much it moves when the anchor moves by one; the anchor's is 1.
             */
            coefficient: number;
            /** @description Its name. */
            column: components["schemas"]["ColumnName"];
            /** @description How its values are numbers. */
            encoding: components["schemas"]["Encoding"];
            /** @description The greatest value that may be delivered, of numbers. */
            greatest?: string | null;
            /** @description The least value that may be delivered, of numbers. */
            least?: string | null;
        };
        /** @description A closed metering window. */
        Meter: {
            /** @description When it was closed. */
            closed_at: string;
            correction?: components["schemas"]["MeterCorrection"] | null;
            /** @description Its id. */
            id: components["schemas"]["MeterId"];
            proposal?: components["schemas"]["MeterCorrection"] | null;
            /** @description What was used. */
            reading: components["schemas"]["MeterReading"];
            settlement?: components["schemas"]["SettlementId"] | null;
        };
        /** @description What a window is charged instead of what it read. */
        MeterCorrection: {
            /** @description Which of several implementers agreed, each with who did. Empty with one implementer. */
            agreements?: {
                [key: string]: components["schemas"]["Actor"];
            };
            /**
             * Format: int64
             * @description Chargeable calls, at most those read.
             */
            calls: number;
            /**
             * Format: int64
             * @description Chargeable data sets, at most those read.
             */
            data_sets: number;
            /** @description Who proposed it. */
            proposed_by: components["schemas"]["Actor"];
            /** @description Why. */
            reason: string;
        };
        /** @description A closed metering window. */
        MeterId: string;
        /** @description What one order used in one window. */
        MeterReading: {
            /**
             * Format: int64
             * @description Chargeable calls.
             */
            calls: number;
            /**
             * Format: int64
             * @description Chargeable data sets.
             */
            data_sets: number;
            /**
             * Format: int64
             * @description Closed deliveries.
             */
            deliveries: number;
            /**
             * Format: int64
             * @description Position after the last.
             */
            end_position: number;
            /**
             * Format: int64
             * @description Position of the first receipt record that the window looked at.
             */
            first_position: number;
            /**
             * Format: int64
             * @description Deliveries that were refused or interrupted, free of charge.
             */
            free_deliveries: number;
            /** @description The order. */
            order: components["schemas"]["OrderId"];
            /** @description SHA-256 over the ids of the counted receipts in order, hexadecimal. */
            receipts_digest: string;
            /**
             * Format: int64
             * @description Rows that left.
             */
            rows: number;
        };
        /**
         * @description How an answer leaves, from what tells least to what tells most.
         * @enum {string}
         */
        Mode: "compute" | "verification" | "statistics" | "lookup" | "rows" | "file";
        /**
         * @description How far a copy of the whole product may be from the original: mean and standard deviation of a marked column of numbers, and the
         *     shares of texts in one of categories. A copy of fewer rows may be further off, as a sample is.
         */
        MomentBounds: {
            /**
             * Format: int32
             * @description The standard deviation, in millionths of itself.
             */
            deviation_per_million: number;
            /**
             * Format: int32
             * @description The mean, in millionths of the column's standard deviation.
             */
            mean_per_million: number;
            /**
             * Format: int32
             * @description The share of the rows that each text of a marked category has, in millionths of all rows.
             */
            share_per_million?: number;
        };
        /** @description A consent by its name. */
        NamedConsent: {
            /** @description Its name: an id, or the id of a batch and the place in it (`csb_…/7`). */
            consent: string;
        };
        /** @description Consents by their names. */
        NamedConsents: {
            /** @description Their names, in the order of the identities. */
            consents: string[];
        };
        /** @description What a child keeps of its parent. A part that is not given is kept whole. */
        Narrowing: {
            /**
             * Format: int32
             * @description A higher floor.
             * @default null
             */
            cohort_floor: number | null;
            columns?: {
                [key: string]: components["schemas"]["Precisions"] | null;
            };
            /**
             * @description `true` adds the need for consent.
             * @default null
             */
            consent_required: boolean | null;
            /** @default null */
            marks: components["schemas"]["MarkLimits"] | null;
            /**
             * @description Modes kept.
             * @default null
             */
            modes: components["schemas"]["Mode"][] | null;
            /** @default null */
            privacy_budget: components["schemas"]["PrivacyBudget"] | null;
            /**
             * @description Purposes kept.
             * @default null
             */
            purposes: components["schemas"]["Purpose"][] | null;
            /** @default null */
            quota: components["schemas"]["SharedQuota"] | null;
            /**
             * @description Conditions added.
             * @default []
             */
            rows: components["schemas"]["Predicate"][];
            /** @default null */
            term: components["schemas"]["Term"] | null;
        };
        /** @description A consent of which a person leaves less. */
        NarrowingForm: {
            /** @description The consent, as it was named when it was given. */
            consent: string;
            /** @description What names the person in the data. */
            identity: string;
            /** @description What is left of it. */
            limits: components["schemas"]["ConsentLimits"];
        };
        /**
         * @description Whether data was collected in the world or made by a generator; never left out where data is shown.
         * @enum {string}
         */
        Nature: "REAL" | "SYNTHETIC";
        /** @description A node. */
        NodeId: string;
        /** @description The node. */
        NodeView: {
            /** @description Version of the calendar in force. */
            calendar_version: string;
            checkpoint?: components["schemas"]["Checkpoint"] | null;
            division?: components["schemas"]["Division"] | null;
            /** @description Its id; absent before it is initialised. */
            id?: string | null;
            log_lag?: components["schemas"]["LogLag"] | null;
            /** @description The node's time, RFC 3339. */
            now: string;
            /**
             * Format: int64
             * @description Position of the journal's last event.
             */
            position: number;
            /** @description Version of the program. */
            program_version: string;
            rulebook_proposal?: components["schemas"]["RulebookProposal"] | null;
            /** @description Version of the rulebook in force. */
            rulebook_version: string;
            tier?: components["schemas"]["Tier"] | null;
        };
        /** @description How statistics of a product are given with noise. */
        NoiseRules: {
            /** @description The values of each dimension by which may be grouped. Rows with another value, or none, are in no group. */
            domains?: {
                [key: string]: components["schemas"]["Literal"][];
            };
            /** @description The columns that may be measured, with their bounds. */
            measures?: {
                [key: string]: components["schemas"]["MeasureBounds"];
            };
            /** @description What each new answer costs: ρ of zero-concentrated differential privacy. */
            rho: components["schemas"]["Rho"];
            /**
             * Format: int32
             * @description Most rows of one subject that an answer uses; of more, some are chosen by a key. 1 where the product names no subject:
             *     then each row stands for itself.
             */
            rows_per_subject_max: number;
        };
        /** @description A product with all that a consumer needs to decide. */
        Offer: {
            /** @description Output columns in their order. */
            columns: components["schemas"]["OfferedColumn"][];
            /** @description Source columns that decide which rows there are. */
            conditions: components["schemas"]["LineageItem"][];
            /** @description As the market shows it. */
            item: components["schemas"]["MarketItem"];
            /** @description Output columns that identify a row. */
            key: string[];
            order?: components["schemas"]["CommandChoice"] | null;
            /** @description The permits. */
            permits: components["schemas"]["OfferPermit"][];
        };
        /** @description A permit that the product stands on. */
        OfferPermit: {
            /** @description Its id. */
            id: string;
            /** @description The mandate above it. */
            mandate: string;
            /** @description The mandate's name. */
            mandate_name: string;
            /** @description Whether the viewer may open the mandate. */
            mandate_open: boolean;
            /** @description Where the mandate stands. */
            mandate_state: string;
            /** @description Whether the viewer may open the permit. */
            permit_open: boolean;
            /** @description The resource that it permits for this product. */
            resource: string;
            /** @description That resource's name. */
            resource_name: string;
            /** @description The scenario. */
            scenario: string;
            /** @description Where it stands. */
            state: string;
        };
        /** @description An output column. */
        OfferedColumn: {
            /** @description False where it is a source column as it stands. */
            computed: boolean;
            /** @description Its type. */
            data_type: components["schemas"]["DataType"];
            /** @description The source columns it is computed from. */
            lineage: components["schemas"]["LineageItem"][];
            /** @description Its name. */
            name: string;
            /** @description Its precision in each mode that shows it at all. */
            precisions: {
                [key: string]: string;
            };
        };
        /** @description What is known when a delivery begins. */
        Opening: {
            /**
             * @description Names the marks that the answer carries, hexadecimal: of what is marked how, and the logged commitments to the keys. None
             *     where nothing is marked.
             */
            code_id?: string | null;
            /** @description The recipient. */
            consumer: components["schemas"]["PartyId"];
            /**
             * @description The day on whose quota a delivery counts that has more records than this one, where it counts on one: a delivery that a
             *     stop of the node cuts off is counted by what it had written.
             */
            day?: string | null;
            /** @description Digest of the grant it was made under. */
            grant_digest: string;
            lineage?: components["schemas"]["AnswerLineage"] | null;
            /**
             * @description What the product was made from, as its folder is named: with the product it says of which table the row sets hold
             *     the numbers. None for live data and in records from before it was recorded.
             */
            made_from?: string | null;
            /** @description The marked columns among those that the answer was made of. */
            marked?: components["schemas"]["ColumnName"][];
            /**
             * @description The masks of the columns that the answer was made of, in its mode: columns that stand in it as they are are left out.
             *     Empty too in records from before it was recorded, which have no node.
             */
            masks?: {
                [key: string]: components["schemas"]["Precision"];
            };
            /** @description The mode. */
            mode: components["schemas"]["Mode"];
            /** @description REAL or SYNTHETIC. */
            nature: components["schemas"]["Nature"];
            node?: components["schemas"]["NodeId"] | null;
            /** @description The order. */
            order: components["schemas"]["OrderId"];
            /**
             * @description Which of several processes serves it, by a name that says nothing else: what one leaves that dies is known by it. None
             *     where a node has one process at a time.
             */
            process?: string | null;
            /** @description The product. */
            product: components["schemas"]["ProductId"];
            /** @description The protocol: `rest`. */
            protocol: string;
            /** @description The purpose. */
            purpose: components["schemas"]["Purpose"];
            /**
             * @description SHA-256 of the request's salt and the canonical form of what was asked, hexadecimal: the same question has the same
             *     form, however it was written and by whatever protocol it came. None in records from before it was recorded.
             */
            query_digest?: string | null;
            /**
             * @description SHA-256 of a salt of 16 bytes and the request (claim, key or SQL) as it was sent, with its canonical form behind it
             *     where that is another, hexadecimal. Salt and text stand in the vault under the receipt's id; once they are erased the
             *     digest tells nothing.
             */
            request_digest: string;
            rho_spent?: components["schemas"]["Rho"] | null;
            /** @description What its row sets hold; not written where they hold numbers of rows. */
            rows_named_by?: components["schemas"]["RowNaming"];
            /** @description Rulebook version. */
            rulebook_version: string;
            /** @description Versions of the snapshots it was made from, as `resource@version`, in order. */
            snapshots: string[];
        };
        /**
         * @description 开放属性
         * @enum {string}
         */
        Openness: "unconditional" | "conditional" | "not_open";
        /** @description The competent department's opinion. */
        Opinion: {
            /** @description Whether it agrees. */
            agrees: boolean;
            /** @description Who signed. */
            by: components["schemas"]["Actor"];
            /** @description Its words. */
            text: string;
        };
        /** @description An order. */
        Order: {
            /**
             * Format: int32
             * @description Which replacement of the consumer's code for the product it is in; the first one is 0.
             */
            code_epoch?: number;
            /** @description Who orders. */
            consumer: components["schemas"]["PartyId"];
            /** @description The contract. */
            contract: components["schemas"]["Contract"];
            /** @description What. */
            details: components["schemas"]["OrderDetails"];
            /** @description Its id. */
            id: components["schemas"]["OrderId"];
            mark_keys?: components["schemas"]["MarkKeys"] | null;
            /** @description The keys before, that were renewed, the first ones first: copies by them are still about. */
            mark_keys_before?: components["schemas"]["MarkKeys"][];
            /** @description The product's operator. */
            operator: components["schemas"]["PartyId"];
            /** @description Who placed it. */
            placed_by: components["schemas"]["Actor"];
            /** @description Service keys. */
            service_keys: components["schemas"]["ServiceKeyRecord"][];
            /** @description Where it stands. */
            stage: components["schemas"]["OrderStage"];
        };
        /** @description What is ordered. */
        OrderDetails: {
            /** @description By which modes. */
            modes: components["schemas"]["Mode"][];
            /** @description The product. */
            product: components["schemas"]["ProductId"];
            /** @description What it is for. */
            purpose: components["schemas"]["Purpose"];
            /** @description How much. */
            quota: components["schemas"]["Quota"];
            /** @description From when until when. */
            term: components["schemas"]["Term"];
        };
        /** @description An order (订单). */
        OrderId: string;
        /** @description Where an order's data comes from. */
        OrderLineage: {
            /** @description The columns that its grant shows. */
            columns: components["schemas"]["OrderedColumn"][];
            /** @description Source columns that decide which rows there are. */
            conditions: components["schemas"]["LineageItem"][];
            /** @description Whether it has a grant now; without one no column is shown. */
            granted: boolean;
            /** @description The order. */
            order: string;
            /** @description Its product. */
            product: string;
        };
        /** @description The privacy accounts of an order. */
        OrderPrivacy: {
            /** @description The accounts; none where no right above the order sets a budget. */
            accounts: components["schemas"]["PrivacyAccountView"][];
            /**
             * Format: int64
             * @description How many new answers are left; absent without accounts or noise.
             */
            answers_left?: number | null;
            /**
             * Format: double
             * @description The δ at which ε is told.
             */
            delta: number;
            rho_per_answer?: components["schemas"]["Rho"] | null;
        };
        /** @description Where an order stands. */
        OrderStage: "placed" | "active" | {
            /** @description Suspended. */
            suspended: {
                /** @description Why. */
                reason: string;
            };
        } | {
            /** @description Over. */
            ended: {
                /** @description Why. */
                reason: string;
            };
        };
        /** @description A column that an order has, with where it comes from. */
        OrderedColumn: components["schemas"]["TracedColumn"] & {
            /** @description Its precision in each mode that shows it now. */
            precisions: {
                [key: string]: string;
            };
        };
        /**
         * @description What kind of organisation a party is; an administrative unit receives no cash share of revenue.
         * @enum {string}
         */
        Organisation: "department" | "public_institution" | "enterprise";
        /** @description How a delivery ended. */
        Outcome: "delivered" | {
            /** @description It stopped: a stable code, such as `grant_suspended`, `cancelled`, `interrupted`. */
            stopped: {
                /** @description Why. */
                code: string;
            };
        };
        /** @description A page of a list. */
        Page_Erasure: {
            /** @description The items, newest first. */
            items: components["schemas"]["Entry_Erasure"][];
            /** @description Where the next page begins; absent after the last item. */
            next_cursor?: string | null;
        };
        /** @description A page of a list. */
        Page_Mandate: {
            /** @description The items, newest first. */
            items: components["schemas"]["Entry_Mandate"][];
            /** @description Where the next page begins; absent after the last item. */
            next_cursor?: string | null;
        };
        /** @description A page of a list. */
        Page_Meter: {
            /** @description The items, newest first. */
            items: components["schemas"]["Entry_Meter"][];
            /** @description Where the next page begins; absent after the last item. */
            next_cursor?: string | null;
        };
        /** @description A page of a list. */
        Page_Order: {
            /** @description The items, newest first. */
            items: components["schemas"]["Entry_Order"][];
            /** @description Where the next page begins; absent after the last item. */
            next_cursor?: string | null;
        };
        /** @description A page of a list. */
        Page_Party: {
            /** @description The items, newest first. */
            items: components["schemas"]["Entry_Party"][];
            /** @description Where the next page begins; absent after the last item. */
            next_cursor?: string | null;
        };
        /** @description A page of a list. */
        Page_Permit: {
            /** @description The items, newest first. */
            items: components["schemas"]["Entry_Permit"][];
            /** @description Where the next page begins; absent after the last item. */
            next_cursor?: string | null;
        };
        /** @description A page of a list. */
        Page_PermittedRevenue: {
            /** @description The items, newest first. */
            items: components["schemas"]["Entry_PermittedRevenue"][];
            /** @description Where the next page begins; absent after the last item. */
            next_cursor?: string | null;
        };
        /** @description A page of a list. */
        Page_Plan: {
            /** @description The items, newest first. */
            items: components["schemas"]["Entry_Plan"][];
            /** @description Where the next page begins; absent after the last item. */
            next_cursor?: string | null;
        };
        /** @description A page of a list. */
        Page_Product: {
            /** @description The items, newest first. */
            items: components["schemas"]["Entry_Product"][];
            /** @description Where the next page begins; absent after the last item. */
            next_cursor?: string | null;
        };
        /** @description A page of a list. */
        Page_QualityReport: {
            /** @description The items, newest first. */
            items: components["schemas"]["Entry_QualityReport"][];
            /** @description Where the next page begins; absent after the last item. */
            next_cursor?: string | null;
        };
        /** @description A page of a list. */
        Page_Registration: {
            /** @description The items, newest first. */
            items: components["schemas"]["Entry_Registration"][];
            /** @description Where the next page begins; absent after the last item. */
            next_cursor?: string | null;
        };
        /** @description A page of a list. */
        Page_Resource: {
            /** @description The items, newest first. */
            items: components["schemas"]["Entry_Resource"][];
            /** @description Where the next page begins; absent after the last item. */
            next_cursor?: string | null;
        };
        /** @description A page of a list. */
        Page_Right: {
            /** @description The items, newest first. */
            items: components["schemas"]["Entry_Right"][];
            /** @description Where the next page begins; absent after the last item. */
            next_cursor?: string | null;
        };
        /** @description A page of a list. */
        Page_Settlement: {
            /** @description The items, newest first. */
            items: components["schemas"]["Entry_Settlement"][];
            /** @description Where the next page begins; absent after the last item. */
            next_cursor?: string | null;
        };
        /** @description A page of a list. */
        Page_Supply: {
            /** @description The items, newest first. */
            items: components["schemas"]["Entry_Supply"][];
            /** @description Where the next page begins; absent after the last item. */
            next_cursor?: string | null;
        };
        /** @description A page of a list. */
        Page_Ticket: {
            /** @description The items, newest first. */
            items: components["schemas"]["Entry_Ticket"][];
            /** @description Where the next page begins; absent after the last item. */
            next_cursor?: string | null;
        };
        /** @description A page of a list. */
        Page_Trace: {
            /** @description The items, newest first. */
            items: components["schemas"]["Entry_Trace"][];
            /** @description Where the next page begins; absent after the last item. */
            next_cursor?: string | null;
        };
        /** @description A page of a list. */
        Page_User: {
            /** @description The items, newest first. */
            items: components["schemas"]["Entry_User"][];
            /** @description Where the next page begins; absent after the last item. */
            next_cursor?: string | null;
        };
        /** @description A registered party. */
        Party: {
            /** @description 统一社会信用代码. */
            credit_code: string;
            /** @description Division. */
            division: components["schemas"]["Division"];
            /** @description Its id. */
            id: components["schemas"]["PartyId"];
            /** @description Name in Chinese. */
            name: string;
            /** @description Name in English. */
            name_en: string;
            /** @description Kind of organisation. */
            organisation: components["schemas"]["Organisation"];
            /** @description Roles. */
            roles: components["schemas"]["Role"][];
            /** @description Tier. */
            tier: components["schemas"]["Tier"];
            /** @description Declared equity ties. */
            ties: components["schemas"]["PartyId"][];
        };
        /** @description What is said of a party when it is registered. */
        PartyDetails: {
            /** @description 统一社会信用代码, 18 characters (GB 32100). */
            credit_code: string;
            /** @description Division. */
            division: components["schemas"]["Division"];
            /** @description Name in Chinese. */
            name: string;
            /** @description Name in English, for the English console. */
            name_en: string;
            /** @description Kind of organisation. */
            organisation: components["schemas"]["Organisation"];
            /** @description Roles. */
            roles: components["schemas"]["Role"][];
            /** @description Tier. */
            tier: components["schemas"]["Tier"];
            /** @description Declared equity ties to other parties. */
            ties?: components["schemas"]["PartyId"][];
        };
        /** @description A party (主体). */
        PartyId: string;
        /** @description A party, by name. */
        PartyName: {
            /** @description Its id. */
            id: string;
            /** @description Its name in Chinese. */
            name: string;
            /** @description … in English. */
            name_en: string;
        };
        /** @description A person's pass. */
        Pass: {
            /** @description When it lapses, RFC 3339. */
            expires_at: string;
            /** @description What the person sends as `Authorization: Bearer …`. */
            pass: string;
        };
        /** @description Another password. */
        PasswordForm: {
            /** @description His present password. */
            current: string;
            /** @description The viewer's login name. */
            login: string;
            /** @description The new one, at least 12 characters. */
            new: string;
        };
        /** @description A permit. */
        Permit: {
            /** @description Who applied. */
            applied_by: components["schemas"]["Actor"];
            confirmations: {
                [key: string]: components["schemas"]["Actor"] | null;
            };
            /** @description What it is for. */
            details: components["schemas"]["PermitDetails"];
            /** @description Its id. */
            id: components["schemas"]["PermitId"];
            /** @description The implementer that decides. */
            implementer: components["schemas"]["PartyId"];
            /** @description The operator that applied. */
            operator: components["schemas"]["PartyId"];
            opinion?: components["schemas"]["Opinion"] | null;
            /** @description Where it stands. */
            stage: components["schemas"]["PermitStage"];
        };
        /** @description What a permit is for. */
        PermitDetails: {
            /** @description The competent department of the scenario's field. */
            competent: components["schemas"]["PartyId"];
            /** @description What of the mandate's resources. */
            items: {
                [key: string]: components["schemas"]["Narrowing"];
            };
            /** @description Why the data is needed and what leaves. */
            justification: string;
            /** @description The mandate above it. */
            mandate: components["schemas"]["MandateId"];
            /** @description Purposes of the scenario. */
            purposes: components["schemas"]["Purpose"][];
            /** @description 应用场景 */
            scenario: string;
        };
        /** @description A permit (场景授权). */
        PermitId: string;
        /** @description A permit that a use stands on. */
        PermitOfUse: {
            /** @description The permit. */
            permit: string;
            /** @description Its scenario's name. */
            scenario: string;
        };
        /** @description Where a permit stands. */
        PermitStage: "applied" | {
            /** @description Approved. */
            approved: {
                /** @description Who. */
                by: components["schemas"]["Actor"];
            };
        } | {
            /** @description Refused. */
            refused: {
                /** @description Who. */
                by: components["schemas"]["Actor"];
                /** @description Why. */
                reason: string;
            };
        } | {
            /** @description Suspended. */
            suspended: {
                /** @description Who. */
                by: components["schemas"]["Actor"];
                /** @description Why. */
                reason: string;
            };
        };
        /** @description What an operator may earn in a period. */
        PermittedRevenue: {
            /** @description Who fixed it. */
            by: components["schemas"]["Actor"];
            /** @description Income settled so far. */
            earned: string;
            /** @description Its id. */
            id: components["schemas"]["PermittedRevenueId"];
            /** @description The operator. */
            operator: components["schemas"]["PartyId"];
            /** @description Cost, profit rate and tax. */
            parts: Record<string, never>;
            /** @description The period. */
            term: components["schemas"]["Term"];
            /** @description The ten-year treasury yield it was fixed with, as a fraction. */
            treasury_yield: string;
        };
        /** @description A permitted revenue (最高准许收入) of an operator and period. */
        PermittedRevenueId: string;
        /** @description A person's consent. */
        PersonalConsent: {
            /** @description Its name. */
            consent: string;
            /** @description What it permits. */
            details: components["schemas"]["ConsentDetails"];
            /** @description When it was given. */
            given_at: string;
            /** @description Whether it is withdrawn, or lives on as a narrower one. */
            is_withdrawn: boolean;
        };
        /** @description A person's consents. */
        PersonalConsents: {
            /** @description Those of batches first, each kind as it was given. */
            items: components["schemas"]["PersonalConsent"][];
        };
        /** @description A receipt record with its place in the receipt log. */
        PlacedReceipt: {
            /**
             * Format: int64
             * @description Its place.
             */
            position: number;
            /** @description The record. */
            record: components["schemas"]["ReceiptRecord"];
        };
        /** @description A plan. */
        Plan: {
            /** @description What it says. */
            details: components["schemas"]["PlanDetails"];
            /** @description Who drafted it. */
            drafted_by: components["schemas"]["Actor"];
            /** @description Its id. */
            id: components["schemas"]["PlanId"];
            /** @description Whose. */
            implementer: components["schemas"]["PartyId"];
            /** @description Where it stands. */
            stage: components["schemas"]["PlanStage"];
        };
        /** @description What a plan says. */
        PlanDetails: {
            /** @description The list. */
            items: {
                [key: string]: components["schemas"]["PlanItem"];
            };
            /** @description Mode. */
            mode: components["schemas"]["AuthorisationMode"];
            /** @description 名称 */
            name: string;
            /** @description Need and feasibility. */
            need: string;
            /** @description Conditions and procedure for choosing the operator. */
            operator_selection: string;
            /** @description Products and services, price and revenue. */
            products_and_revenue: string;
            /** @description Security, supervision, evaluation and exit. */
            security_and_exit: string;
            /** @description Term of what is authorised under it. */
            term: components["schemas"]["Term"];
        };
        /** @description An implementation plan (实施方案). */
        PlanId: string;
        /** @description One line of the list. */
        PlanItem: {
            /** @description What of the supply. */
            narrowing?: components["schemas"]["Narrowing"];
            /** @description The provider's confirmation that bounds the line. */
            supply: components["schemas"]["SupplyId"];
        };
        /** @description Where a plan stands. */
        PlanStage: "drafted" | {
            /** @description Decided as a major matter of the unit (三重一大); the data authority decides next. */
            submitted: {
                /** @description Who submitted. */
                by: components["schemas"]["Actor"];
                /** @description Number of the minutes of the collective decision. */
                minutes: string;
            };
        } | {
            /** @description Approved. */
            approved: {
                /** @description Who approved. */
                by: components["schemas"]["Actor"];
                /** @description Number of the approval document. */
                document: string;
            };
        } | {
            /** @description Returned. */
            returned: {
                /** @description Who returned it. */
                by: components["schemas"]["Actor"];
                /** @description Why. */
                reason: string;
            };
        };
        /** @description One line of a transaction. Exactly one of debit and credit is given. */
        PostingLine: {
            /** @description The account. */
            account: components["schemas"]["AccountName"];
            /** @description With whom, a party's id. */
            counterparty?: string | null;
            /** @description 贷, in yuan with two decimals. */
            credit_yuan?: string | null;
            /** @description 借, in yuan with two decimals. */
            debit_yuan?: string | null;
        };
        Precision: string;
        /** @description The precision of one column in each mode; a mode that is not listed is [`Precision::Hidden`]. */
        Precisions: {
            [key: string]: components["schemas"]["Precision"];
        };
        /** @description A condition on the rows of one table. */
        Predicate: {
            /** @description A column compared with a constant. */
            compare: {
                /** @description The column. */
                column: components["schemas"]["ColumnName"];
                /** @description The comparison. */
                comparison: components["schemas"]["Comparison"];
                /** @description The constant. */
                value: components["schemas"]["Literal"];
            };
        } | {
            /** @description A column is one of the listed constants. */
            in: {
                /** @description The column. */
                column: components["schemas"]["ColumnName"];
                /** @description The constants; an empty list covers no row. */
                values: components["schemas"]["Literal"][];
            };
        } | {
            /** @description A column has no value. */
            is_null: {
                /** @description The column. */
                column: components["schemas"]["ColumnName"];
            };
        } | {
            /** @description Every part holds; with no parts, every row is covered. */
            and: components["schemas"]["Predicate"][];
        } | {
            /** @description Some part holds; with no parts, no row is covered. */
            or: components["schemas"]["Predicate"][];
        } | {
            /** @description The part does not hold. */
            not: components["schemas"]["Predicate"];
        };
        /** @description What a product costs. */
        Price: {
            /** @description Further purposes that are free of charge. */
            free_purposes?: components["schemas"]["Purpose"][];
            /** @description Per call. */
            per_call: string;
            /** @description Per data set. */
            per_data_set: string;
        };
        /** @description One privacy account that an order's statistics debit. Amounts are ρ of zero-concentrated differential privacy. */
        PrivacyAccountView: {
            /** @description The budget. */
            budget: components["schemas"]["Rho"];
            /**
             * Format: double
             * @description What the budget means as ε, rounded up; absent where it can't be told.
             */
            epsilon_budget?: number | null;
            /**
             * Format: double
             * @description What was spent, in the same way.
             */
            epsilon_spent?: number | null;
            /** @description What is left. */
            left: components["schemas"]["Rho"];
            /** @description The link that set the budget: a supply, plan, mandate or permit. */
            link: string;
            /** @description The resource. */
            resource: string;
            /** @description What the consumer and those tied to it have spent. */
            spent: components["schemas"]["Rho"];
        };
        /** @description A budget that a link sets for one of its resources, for each consumer, as long as the link holds. */
        PrivacyBudget: {
            /** @description How much privacy loss one consumer may cause; more than nothing. */
            rho: components["schemas"]["Rho"];
        };
        /** @description Why a request was not answered as hoped, in Chinese and English, with what to do about it. */
        Problem: {
            /** @description The stable code. */
            code: string;
            /** @description For faults: the id under which the node's log has the rest. */
            correlation?: string | null;
            /** @description Chinese sentence that says what to do. */
            detail: string;
            /** @description English sentence. */
            detail_en: string;
            /**
             * Format: int32
             * @description HTTP status.
             */
            status: number;
            /** @description What it concerns, such as an id, a field or a column. */
            subject?: string | null;
            /** @description Chinese title. */
            title: string;
            /** @description English title. */
            title_en: string;
            /** @description `urn:lingqu:problem:<code>` */
            type: string;
        };
        /** @description A product. */
        Product: {
            ceiling?: components["schemas"]["Ceiling"] | null;
            /** @description The ceilings of several implementers. Empty with one implementer. */
            ceilings?: {
                [key: string]: components["schemas"]["Ceiling"];
            };
            certificate?: components["schemas"]["Certificate"] | null;
            /** @description What it is. */
            details: components["schemas"]["ProductDetails"];
            /** @description Who drafted it. */
            drafted_by: components["schemas"]["Actor"];
            /** @description Its id. */
            id: components["schemas"]["ProductId"];
            /** @description Whose. */
            operator: components["schemas"]["PartyId"];
            /** @description Which of several implementers have passed its output, each with who did. Empty with one implementer. */
            output_agreements?: {
                [key: string]: components["schemas"]["Actor"];
            };
            price?: components["schemas"]["Price"] | null;
            registration?: components["schemas"]["RegistrationId"] | null;
            /** @description Where it stands. */
            stage: components["schemas"]["ProductStage"];
        };
        /** @description A column of a product's output. */
        ProductColumn: {
            /** @description False where it is a source column as it stands. */
            computed: boolean;
            /** @description Its type. */
            data_type: components["schemas"]["DataType"];
            /** @description The source columns it was computed from. */
            lineage: components["schemas"]["SourceColumn"][];
            /** @description Its name. */
            name: components["schemas"]["ColumnName"];
        };
        /** @description What a product is. */
        ProductDetails: {
            /** @description Output columns by which statistics may group and filter. */
            dimensions: components["schemas"]["ColumnName"][];
            /** @description Output columns that name further subjects, where a row is about several persons. */
            further_subjects?: components["schemas"]["ColumnName"][];
            /** @description The permit that each input resource stands on. */
            inputs: {
                [key: string]: components["schemas"]["PermitId"];
            };
            /** @description Output columns that identify a row. */
            key: components["schemas"]["ColumnName"][];
            marking?: components["schemas"]["Marking"] | null;
            /** @description 名称 */
            name: string;
            /** @description Name in English. */
            name_en: string;
            /** @description What of the inputs' rights the product offers: modes, precision of output columns. */
            narrowing?: components["schemas"]["Narrowing"];
            noise?: components["schemas"]["NoiseRules"] | null;
            /** @description What the node found out about the SQL; what a client sends here is replaced. */
            shape?: components["schemas"]["ProductShape"];
            /** @description SQL over the inputs' table names. */
            sql: string;
            subject?: components["schemas"]["ColumnName"] | null;
            /** @description 摘要 */
            summary: string;
            /** @description Table name in consumers' SQL; unique in the node. */
            table: components["schemas"]["ColumnName"];
        };
        /** @description A product. */
        ProductId: string;
        /** @description Where a product comes from. */
        ProductLineage: {
            /** @description Its columns in their order. */
            columns: components["schemas"]["TracedColumn"][];
            /** @description Source columns that decide which rows there are. */
            conditions: components["schemas"]["LineageItem"][];
            /** @description The product. */
            product: string;
            /** @description Its name. */
            product_name: string;
        };
        /** @description What the node found out about a product's SQL. */
        ProductShape: {
            /** @description Whether each row is made of rows of the persons whom the product's subject columns name, and of nobody else's. */
            by_person?: boolean;
            /** @description Output columns in their order. */
            columns: components["schemas"]["ProductColumn"][];
            /** @description Source columns that decide which rows there are: filters, join keys, groupings. */
            conditions: components["schemas"]["SourceColumn"][];
            /** @description Whether each row is made of one row of one input and of nothing else. */
            row_by_row?: boolean;
        };
        /** @description Where a product stands. */
        ProductStage: "drafted" | {
            /** @description Output review passed. */
            reviewed: {
                /** @description Who reviewed. */
                by: components["schemas"]["Actor"];
                /** @description What was looked at. */
                findings: string;
            };
        } | "listed" | {
            /** @description No longer open to orders; running orders go on. */
            delisted: {
                /** @description Implementers who delisted it and have not agreed since that it is listed again. Empty: its operator did. */
                implementers?: components["schemas"]["PartyId"][];
                /** @description Why. */
                reason: string;
            };
        };
        /** @description A certificate as anyone may see it: what publicity shows, and nothing more. */
        PublicCertificate: {
            /** @description Name of the registering party. */
            applicant: string;
            /** @description 登记编码 */
            code: string;
            /** @description Brief content. */
            content: string;
            /** @description When it was issued, RFC 3339. */
            issued_at: string;
            /** @description `resource` or `product`. */
            kind: string;
            /** @description Its name. */
            name: string;
            /** @description The signed note: text and Ed25519 signature of the node (C2SP signed-note). */
            note: string;
            /** @description Id of what is registered. */
            object: string;
            /** @description Name of the registrar. */
            registrar: string;
            /** @description Whether it holds now. */
            valid: boolean;
            /** @description Until when it holds, RFC 3339. */
            valid_until: string;
            /** @description The key that verifies it. */
            vkey: string;
        };
        /**
         * @description A purpose code: parts of `a-z`, `0-9`, `_` and `-` joined by `/`, from general to special (`insurance/claim`). `any`
         *     is the root of the tree. The form is checked where a purpose is read.
         */
        Purpose: string;
        /** @description What a rule set found. */
        QualityOutcome: {
            /** @description The report as it was computed: counts and row numbers per rule, scores per dimension. */
            report: Record<string, never>;
        };
        /** @description A quality report over one snapshot. */
        QualityReport: {
            /** @description Who ran it. */
            by: components["schemas"]["Actor"];
            /** @description Its id. */
            id: components["schemas"]["QualityReportId"];
            /** @description The resource. */
            resource: components["schemas"]["ResourceId"];
            /** @description Results in the order of the rule set. */
            results: components["schemas"]["RuleResult"][];
            /** @description The snapshot. */
            snapshot: components["schemas"]["SnapshotId"];
        };
        /** @description A quality report. */
        QualityReportId: string;
        /** @description What may be used under an order; the quota accounts of the order. A limit that is not given is none. */
        Quota: {
            /**
             * Format: int64
             * @description Bytes of all answers.
             */
            bytes?: number | null;
            /**
             * Format: int64
             * @description Calls: verifications, lookups, queries, pages of rows.
             */
            calls: number;
            /**
             * Format: int64
             * @description Files.
             */
            data_sets: number;
            per_day?: components["schemas"]["DayQuota"] | null;
            /**
             * Format: int64
             * @description Rows of all answers.
             */
            rows?: number | null;
            /**
             * Format: int64
             * @description Distinct subjects whose rows any answer was made of.
             */
            subjects?: number | null;
        };
        /** @description What it comes to. */
        ReceiptAnswer: {
            /** @description Names of the columns, in their order. */
            columns: string[];
            /**
             * Format: int64
             * @description Position of the log's last record: where it is larger, the rest is taken in within minutes.
             */
            head: number;
            /**
             * Format: int64
             * @description Position of the receipt log up to which deliveries that ended are in the answer.
             */
            position: number;
            /** @description The rows, at most 10,000, each an object by column. */
            rows: Record<string, never>[];
        };
        /** @description What a receipt record says. */
        ReceiptBody: {
            /** @description A delivery begins. */
            opened: components["schemas"]["Opening"];
        } | {
            /**
             * @description The rows of one batch, before the batch leaves, and what quotas count of it. One that names no rows says that more bytes
             *     may leave.
             */
            part: {
                /**
                 * Format: int64
                 * @description Rows of the answer that leave with it; not written where there are none, and in records from before it was recorded.
                 */
                answer_rows?: number;
                /**
                 * Format: int64
                 * @description Bytes of the answer that may leave from here on beyond those of the parts before; written where a quota counts
                 *     bytes. The closing record has those that did.
                 */
                bytes_reserved?: number;
                /**
                 * Format: int64
                 * @description Counted from 0.
                 */
                number: number;
                /** @description Row numbers of the governed table: a Roaring bitmap in the portable 64-bit form, base64. */
                row_set: string;
                /**
                 * Format: int64
                 * @description Rows that the batch names.
                 */
                rows: number;
            };
        } | {
            /** @description The delivery ended. */
            closed: {
                /** @description How. */
                outcome: components["schemas"]["Outcome"];
                /** @description Totals. */
                totals: components["schemas"]["Totals"];
            };
        } | {
            /** @description A verification or lookup: opening and closing in one. */
            single: {
                /** @description What is known of it. */
                opening: components["schemas"]["Opening"];
                /** @description Row numbers that were looked at, as in a part. */
                row_set: string;
                /** @description Totals. */
                totals: components["schemas"]["Totals"];
            };
        };
        /** @description A delivery's receipt (交付回执). */
        ReceiptId: string;
        /** @description Where one delivery came from. */
        ReceiptLineage: {
            /** @description When it began, RFC 3339. */
            at: string;
            /** @description True where no more is known than which columns may have been used. */
            at_most: boolean;
            /** @description The answer's columns in their order. Their names are the consumer's own and are not kept. */
            columns: components["schemas"]["AnsweredColumn"][];
            /** @description The product's columns that the consumer chose rows by. */
            conditions: components["schemas"]["TracedColumn"][];
            /** @description The consumer. */
            consumer: string;
            /** @description The mode. */
            mode: components["schemas"]["Mode"];
            /** @description REAL or SYNTHETIC. */
            nature: components["schemas"]["Nature"];
            /** @description The order. */
            order: string;
            /** @description The product. */
            product: string;
            /** @description Source columns that decide which rows the product has. */
            product_conditions: components["schemas"]["LineageItem"][];
            /** @description The protocol. */
            protocol: string;
            /** @description The receipt. */
            receipt: string;
            /** @description False where the record is from before lineage was recorded; the order's lineage then bounds it. */
            recorded: boolean;
            /** @description Versions of the snapshots, as `resource@version`. */
            snapshots: string[];
        };
        /** @description A page of receipt records. */
        ReceiptPage: {
            /** @description The records, oldest first. */
            items: components["schemas"]["PlacedReceipt"][];
            /**
             * Format: int64
             * @description What `after` of the next page is; absent after the last record.
             */
            next_after?: number | null;
        };
        /** @description A question about receipts. */
        ReceiptQuestion: {
            /** @description A statement over the table `receipts`. */
            sql: string;
        };
        /** @description One record of the receipt log. */
        ReceiptRecord: {
            /** @description When. */
            at: string;
            /** @description What. */
            body: components["schemas"]["ReceiptBody"];
            /** @description The delivery. */
            receipt: components["schemas"]["ReceiptId"];
        };
        /** @description A snapshot with who recorded it. */
        RecordedSnapshot: {
            /** @description Who recorded it: a user's id. */
            actor: string;
            /** @description The party he acted for, in Chinese. */
            party?: string | null;
            /** @description … in English. */
            party_en?: string | null;
            /**
             * Format: int64
             * @description Journal position of the event that recorded it.
             */
            position: number;
            /** @description The snapshot. */
            snapshot: components["schemas"]["Snapshot"];
        };
        /** @description What is registered. */
        Registrable: {
            /** @description A resource. */
            resource: components["schemas"]["ResourceId"];
        } | {
            /** @description A product. */
            product: components["schemas"]["ProductId"];
        };
        /** @description A registration procedure. */
        Registration: {
            /** @description The registering party. */
            applicant: components["schemas"]["PartyId"];
            /** @description Who applied. */
            applied_by: components["schemas"]["Actor"];
            /** @description Brief content, as publicity shows it. */
            content: string;
            /** @description Its id. */
            id: components["schemas"]["RegistrationId"];
            /** @description Its name, as publicity shows it. */
            name: string;
            /** @description What is registered. */
            object: components["schemas"]["Registrable"];
            registrar?: components["schemas"]["PartyId"] | null;
            /** @description Where it stands. */
            stage: components["schemas"]["RegistrationStage"];
        };
        /** @description A registration procedure. */
        RegistrationId: string;
        /** @description Where a registration stands. */
        RegistrationStage: {
            /** @description The registrar must accept or return it. */
            applied: {
                /** @description By when. */
                deadline: components["schemas"]["Deadline"];
            };
        } | {
            /** @description Returned: what is missing, told once. A new application starts afresh. */
            returned: {
                /** @description What is missing. */
                missing: string;
            };
        } | {
            /** @description The registrar must review it. */
            accepted: {
                /** @description Who accepted. */
                by: components["schemas"]["Actor"];
                /** @description By when. */
                deadline: components["schemas"]["Deadline"];
            };
        } | {
            /** @description In publicity (公示). */
            publicity: {
                /** @description Who reviewed. */
                by: components["schemas"]["Actor"];
                /** @description The last day of publicity. */
                until: components["schemas"]["Deadline"];
            };
        } | {
            /** @description Certified. */
            certified: components["schemas"]["Certificate"];
        };
        /** @description A catalogued data set. */
        Resource: {
            certificate?: components["schemas"]["Certificate"] | null;
            /** @description The catalogue entry. */
            details: components["schemas"]["ResourceDetails"];
            /** @description Who drafted it. */
            drafted_by: components["schemas"]["Actor"];
            /** @description Its id. */
            id: components["schemas"]["ResourceId"];
            /** @description The party that holds it and answers for its quality. */
            provider: components["schemas"]["PartyId"];
            registration?: components["schemas"]["RegistrationId"] | null;
            signed_by?: components["schemas"]["Actor"] | null;
            snapshot?: components["schemas"]["Snapshot"] | null;
            /**
             * Format: int64
             * @description Count of snapshots taken.
             */
            snapshot_count: number;
        };
        /** @description What a catalogue entry says. */
        ResourceDetails: {
            /** @description Source and basis of collection. */
            basis: string;
            /** @description Information items. */
            columns: components["schemas"]["Column"][];
            /** @description Division. */
            division: components["schemas"]["Division"];
            /** @description Columns that identify a row; may be empty. */
            key: components["schemas"]["ColumnName"][];
            /**
             * @description Whether the key, of one column, says whose a row is as the subject does: one row for each person, by whose key other tables
             *     name him. A mere number of rows does not. Products may join such tables by it.
             */
            key_names_subject?: boolean;
            marks?: components["schemas"]["MarkDeclaration"] | null;
            /** @description 名称 */
            name: string;
            /** @description Name in English. */
            name_en: string;
            /** @description REAL or SYNTHETIC. */
            nature: components["schemas"]["Nature"];
            /** @description 开放属性 */
            openness: components["schemas"]["Openness"];
            /** @description Legal basis of processing personal data (PIPL art. 13); needed when there is a subject. */
            personal_basis?: string | null;
            /** @description 共享属性 */
            sharing: components["schemas"]["Sharing"];
            /** @description Where it comes from, such as a file or table name. */
            source: string;
            subject?: components["schemas"]["ColumnName"] | null;
            /** @description 摘要 */
            summary: string;
            /** @description Table name in products' SQL; unique in the node. */
            table: components["schemas"]["ColumnName"];
            /**
             * Format: int32
             * @description 更新周期, in days; 0: not updated.
             */
            update_cycle_days: number;
        };
        /** @description A catalogued resource (公共数据资源). */
        ResourceId: string;
        /** @description Who receives what of the fees under a mandate. What is left is the operator's. */
        RevenueTerms: {
            /** @description Enterprise providers and their parts; never an administrative unit. */
            provider_rates: {
                [key: string]: string;
            };
            /** @description The treasury: a party with the role finance. */
            treasury: components["schemas"]["PartyId"];
            /** @description Its part, as a fraction. */
            treasury_rate: string;
        };
        /** @description The end of a settlement that was wrong. */
        Reversal: {
            /** @description Who reversed it. */
            by: components["schemas"]["Actor"];
            /** @description Why. */
            reason: string;
        };
        Rho: string;
        /** @description A legal position. */
        Right: {
            /** @description On what basis: a certificate's code, a mandate's id. */
            basis: string;
            /** @description The moment it ended before its term, if it did. */
            ended_at?: string | null;
            /** @description Who. */
            holder: components["schemas"]["PartyId"];
            /** @description Its id. */
            id: components["schemas"]["RightId"];
            /** @description Which. */
            kind: components["schemas"]["RightKind"];
            /** @description In what: a resource or product id. */
            object: string;
            /** @description From when until when. */
            term: components["schemas"]["Term"];
        };
        /** @description A legal position in the register of rights. */
        RightId: string;
        /**
         * @description The three positions.
         * @enum {string}
         */
        RightKind: "hold" | "use" | "operate";
        /**
         * @description What a party may be in the life of data.
         * @enum {string}
         */
        Role: "provider" | "implementer" | "data_authority" | "registrar" | "operator" | "consumer" | "competent_department" | "price_authority" | "finance" | "auditor" | "consent_agent";
        /**
         * @description What the numbers in a delivery's row sets are.
         * @enum {string}
         */
        RowNaming: "number" | "key_digest";
        /** @description The result of one rule over one snapshot: counts, never values. */
        RuleResult: {
            /**
             * Format: int64
             * @description Rows it looked at.
             */
            checked_count: number;
            /** @description Columns it looks at, joined by commas. */
            column: string;
            /** @description Dimension of GB/T 36344-2018: normative, complete, accurate, consistent, timely, accessible. */
            dimension: string;
            /**
             * Format: int64
             * @description Rows that fail.
             */
            failing_count: number;
            /** @description Whether a failure opens a ticket. */
            opens_ticket: boolean;
            /** @description The rule's id. */
            rule: string;
            /** @description What it demands, in Chinese. */
            sentence: string;
            /** @description … in English. */
            sentence_en: string;
        };
        /** @description One version of the rules' parameters. */
        Rulebook: {
            /**
             * Format: int32
             * @description Working days a registrar has to accept or return an application (REG-26; Fujian: 3).
             */
            acceptance_days: number;
            /** @description Working days and holidays. */
            calendar: components["schemas"]["Calendar"];
            /**
             * Format: int32
             * @description Years a registration certificate is valid.
             */
            certificate_years: number;
            /**
             * Format: int32
             * @description The cohort floor of other resources.
             */
            cohort_floor: number;
            /**
             * Format: int32
             * @description The cohort floor of resources with personal data.
             */
            cohort_floor_personal: number;
            /**
             * @description The modes that a column of a grade may at most be used by (GB/T 43697-2024 in outline). A grade that is not
             *     listed is refused.
             */
            grade_modes: {
                [key: string]: components["schemas"]["Mode"][];
            };
            /**
             * Format: int32
             * @description Longest term of a mandate, in years (default 5).
             */
            mandate_years_max: number;
            /** @description Whether products must be registered before they are listed. */
            product_registration_required: boolean;
            /** @description Most percentage points above the ten-year treasury yield that permitted profit may be (PRICE-65: 6). */
            profit_points_max: string;
            /**
             * Format: int32
             * @description Working days of publicity (Fujian: 10).
             */
            publicity_days: number;
            /**
             * Format: int32
             * @description Working days a registrar has to review (guide of the national platform: 20).
             */
            review_days: number;
            /**
             * Format: int32
             * @description Working days a provider has to answer a demand.
             */
            supply_days: number;
            /**
             * Format: int32
             * @description Working days a provider has to mend what a quality ticket names.
             */
            ticket_days: number;
            /** @description Name of this version. */
            version: string;
        };
        /** @description A rulebook that somebody else has yet to adopt. */
        RulebookProposal: {
            /** @description Who proposed it. */
            by: components["schemas"]["Actor"];
            /** @description The rulebook. */
            rulebook: components["schemas"]["Rulebook"];
        };
        /** @description A service key, shown this once. */
        ServiceKey: {
            /** @description Its id. */
            id: string;
            /** @description The key itself. It is kept nowhere. */
            key: string;
            /** @description Its last four characters, by which it is told from others later. */
            last_four: string;
        };
        /** @description A service key of an order. */
        ServiceKeyId: string;
        /** @description A service key, as the journal knows it. */
        ServiceKeyRecord: {
            /**
             * @description SHA-256 of the key, hexadecimal. A key is good only while its hash stands here: one that was slipped into the store
             *     is none.
             */
            hash: string;
            /** @description Its id. */
            id: components["schemas"]["ServiceKeyId"];
            /** @description Whether it is revoked. */
            revoked: boolean;
        };
        /** @description The session in force. */
        Session: {
            /** @description What every change repeats in `X-CSRF-Token`. */
            csrf: string;
            /** @description His name, for the page's corner. */
            display_name: string;
            /** @description His posts. */
            duties: components["schemas"]["Duty"][];
            /** @description When the session ends at the latest, RFC 3339. */
            expires_at: string;
            /** @description The party he acts for. */
            party: components["schemas"]["PartyId"];
            /** @description Its name in Chinese. */
            party_name: string;
            /** @description … in English. */
            party_name_en: string;
            /** @description The party's roles. */
            roles: components["schemas"]["Role"][];
            /** @description The user. */
            user: components["schemas"]["UserId"];
        };
        /** @description One order's line of a settlement. */
        SettledOrder: {
            /**
             * Format: int64
             * @description Chargeable calls.
             */
            calls: number;
            /** @description Who ordered. */
            consumer: components["schemas"]["PartyName"];
            /**
             * Format: int64
             * @description Chargeable data sets.
             */
            data_sets: number;
            /** @description The fee, in yuan. */
            fee_yuan: string;
            /** @description The order. */
            order: string;
            /** @description The product's name. */
            product: string;
            /** @description … in English. */
            product_en: string;
        };
        /** @description A settlement of an operator's period. */
        Settlement: {
            /** @description Which of several implementers have confirmed it, each with who did. Empty with one implementer. */
            agreements?: {
                [key: string]: components["schemas"]["Actor"];
            };
            /** @description Who closed it. */
            closed_by: components["schemas"]["Actor"];
            confirmed_by?: components["schemas"]["Actor"] | null;
            /** @description Due to each treasury. */
            due: {
                [key: string]: string;
            };
            /** @description Its id. */
            id: components["schemas"]["SettlementId"];
            /** @description One line per order. */
            lines: components["schemas"]["StatementLine"][];
            /** @description Whose. */
            operator: components["schemas"]["PartyId"];
            /** @description Paid in to each treasury so far. */
            paid_in: {
                [key: string]: string;
            };
            /** @description Name of the period. */
            period: string;
            permitted_revenue?: components["schemas"]["PermittedRevenueId"] | null;
            reversal?: components["schemas"]["Reversal"] | null;
            /** @description Totals. */
            summary: Record<string, never>;
            /** @description Postings of fees, shares and vouchers. */
            transactions: Record<string, never>[];
            /** @description Numbers of the vouchers. */
            vouchers: string[];
        };
        /** @description A settlement (结算). */
        SettlementId: string;
        /** @description A settlement, walked back to its orders. */
        SettlementView: {
            /** @description Whether the implementer has confirmed it. */
            confirmed: boolean;
            /** @description All fees, in yuan. */
            fees_yuan: string;
            /** @description Its id. */
            id: string;
            /** @description One line per order. */
            lines: components["schemas"]["SettledOrder"][];
            /** @description Whose. */
            operator: components["schemas"]["PartyName"];
            /** @description Name of the period. */
            period: string;
            /** @description Who receives what of them. */
            split: components["schemas"]["SplitPart"][];
            /** @description What goes to treasuries. */
            treasuries: components["schemas"]["TreasuryPart"][];
            /** @description Numbers of the vouchers. */
            vouchers: string[];
        };
        /** @description What may be used under a link by all orders below it together. A limit that is not given is none. */
        SharedQuota: {
            /**
             * Format: int64
             * @description Bytes of all answers.
             * @default null
             */
            bytes: number | null;
            /**
             * Format: int64
             * @description Calls: verifications, lookups, queries, pages of rows.
             * @default null
             */
            calls: number | null;
            /**
             * Format: int64
             * @description Files.
             * @default null
             */
            data_sets: number | null;
            /** @default null */
            per_day: components["schemas"]["DayQuota"] | null;
            /**
             * Format: int64
             * @description Rows of all answers.
             * @default null
             */
            rows: number | null;
            /**
             * Format: int64
             * @description Distinct subjects whose rows any answer was made of; somebody in answers of two orders is one.
             * @default null
             */
            subjects: number | null;
        };
        /** @description 共享属性 */
        Sharing: "unconditional" | {
            /** @description 有条件共享 */
            conditional: {
                /** @description The conditions and the manner. */
                conditions: string;
            };
        } | {
            /** @description 不予共享 */
            not_shared: {
                /** @description The legal basis. */
                basis: string;
            };
        };
        /** @description An immutable version of a resource's data, as the engine stored it; of a live resource what was agreed about its table. */
        Snapshot: {
            /** @description SHA-256 over the digests of the data files, hexadecimal. */
            digest: string;
            /** @description Its id. */
            id: components["schemas"]["SnapshotId"];
            live?: components["schemas"]["LiveSource"] | null;
            /** @description REAL or SYNTHETIC. */
            nature: components["schemas"]["Nature"];
            /**
             * Format: int64
             * @description Rows.
             */
            rows: number;
            /** @description SHA-256 of the source file, hexadecimal. */
            source_digest: string;
            /** @description When it was taken. */
            taken_at: string;
            /**
             * Format: int64
             * @description Version of the resource's table, from 0.
             */
            version: number;
        };
        /** @description A snapshot of a resource. */
        SnapshotId: string;
        /** @description A page of a resource's snapshots. */
        SnapshotPage: {
            /** @description The snapshots, newest first. */
            items: components["schemas"]["RecordedSnapshot"][];
            /**
             * Format: int64
             * @description What `before` of the next page is; absent after the last snapshot.
             */
            next_before?: number | null;
        };
        /** @description A column of an input resource. */
        SourceColumn: {
            /** @description Its column. */
            column: components["schemas"]["ColumnName"];
            /** @description The resource. */
            resource: components["schemas"]["ResourceId"];
        };
        /** @description An encoding that was declared or found out. */
        SourceEncoding: {
            /** @description The encoding. */
            encoding: components["schemas"]["UploadEncoding"];
            /**
             * @description How it is known: `declared`, `byte_order_mark`, `valid` (every byte is of it), or `guessed`: see whether the texts read
             *     well, and declare it if they do not.
             */
            origin: string;
        };
        /** @description What a party receives. */
        SplitPart: {
            /** @description How much, in yuan. */
            amount_yuan: string;
            /** @description Who. */
            party: components["schemas"]["PartyName"];
        };
        /** @description One order's line of a settlement. */
        StatementLine: {
            /**
             * Format: int64
             * @description Calls.
             */
            calls: number;
            /**
             * Format: int64
             * @description Data sets.
             */
            data_sets: number;
            /** @description The fee. */
            fee: string;
            /** @description The windows it sums up. */
            meters: components["schemas"]["MeterId"][];
            /** @description The order. */
            order: components["schemas"]["OrderId"];
        };
        /** @description A data subject, as journal and receipts name him; who that is stands in the vault alone. */
        SubjectId: string;
        /** @description A demand and its answer. */
        Supply: {
            /** @description Its id. */
            id: components["schemas"]["SupplyId"];
            /** @description Who asks. */
            implementer: components["schemas"]["PartyId"];
            /** @description What for. */
            need: string;
            /** @description Its provider. */
            provider: components["schemas"]["PartyId"];
            /** @description Who asked. */
            requested_by: components["schemas"]["Actor"];
            /** @description The resource. */
            resource: components["schemas"]["ResourceId"];
            /** @description Where it stands. */
            stage: components["schemas"]["SupplyStage"];
        };
        /** @description A supply (供数确认). */
        SupplyId: string;
        /** @description Where a supply stands. */
        SupplyStage: {
            /** @description The provider must answer. */
            requested: {
                /** @description By when. */
                deadline: components["schemas"]["Deadline"];
            };
        } | {
            /** @description Confirmed. */
            confirmed: {
                /** @description Who signed. */
                by: components["schemas"]["Actor"];
                /** @description What of the resource. */
                narrowing: components["schemas"]["Narrowing"];
            };
        } | {
            /** @description Refused. */
            refused: {
                /** @description The legal basis. */
                basis: string;
                /** @description Who signed. */
                by: components["schemas"]["Actor"];
            };
        } | {
            /** @description Withdrawn after confirmation. */
            withdrawn: {
                /** @description Who signed. */
                by: components["schemas"]["Actor"];
                /** @description Why. */
                reason: string;
            };
        };
        /** @description A table to take in. */
        TableForm: {
            /** @description Whether columns that the catalogue entry does not have are left out; otherwise they refuse the table. */
            ignore_extra_columns?: boolean;
            /**
             * Format: int64
             * @description Rows that may be rejected, up to 100,000; none unless it is said: the first bad row refuses the table.
             */
            rejects_max?: number | null;
            /**
             * Format: int32
             * @description Of a thousand rows at most so many may be rejected.
             */
            rejects_per_mille?: number | null;
            /** @description Which table. */
            table: components["schemas"]["TablePlace"];
        };
        /** @description Where a table is: a connection of the node's configuration, and the place there. */
        TablePlace: {
            /** @description The connection. */
            connection: string;
            /** @description The table's directory within its folder. */
            directory: string;
            /** @enum {string} */
            format: "delta";
            /**
             * Format: int64
             * @description The version; none: the newest.
             */
            version?: number | null;
        } | {
            /** @description The connection. */
            connection: string;
            /** @description The table's directory within its folder, or one of its metadata files. */
            directory: string;
            /** @enum {string} */
            format: "iceberg";
            /**
             * Format: int64
             * @description The snapshot's id; none: the current one.
             */
            snapshot?: number | null;
        } | {
            /** @description The connection. */
            connection: string;
            /** @enum {string} */
            format: "postgres";
            increment?: components["schemas"]["IncrementForm"] | null;
            /** @description The schema. */
            schema: string;
            /** @description The table. */
            table: string;
        };
        /** @description When a right holds: from (included) until (excluded). Expiry is computed from the time and is never an event. */
        Term: {
            /** @description The first moment. */
            from: string;
            /** @description The first moment after. */
            until: string;
        };
        /** @description How many codes of a product were tested. */
        TestedCodes: {
            /**
             * Format: int64
             * @description Of orders, each with every epoch of its keys.
             */
            orders: number;
            /**
             * Format: int64
             * @description Of recipients, each with every epoch of its code.
             */
            recipients: number;
        };
        /** @description A quality problem. */
        Ticket: {
            /** @description By when it must be answered. */
            deadline: components["schemas"]["Deadline"];
            /** @description Its id. */
            id: components["schemas"]["TicketId"];
            /** @description The provider who must act. */
            provider: components["schemas"]["PartyId"];
            /** @description The report that found it. */
            report: components["schemas"]["QualityReportId"];
            /** @description The resource. */
            resource: components["schemas"]["ResourceId"];
            /** @description What was found. */
            result: components["schemas"]["RuleResult"];
            /** @description Where it stands. */
            stage: components["schemas"]["TicketStage"];
        };
        /** @description A quality ticket (问题工单). */
        TicketId: string;
        /** @description Where a ticket stands. */
        TicketStage: "open" | {
            /** @description He answered. */
            answered: {
                /** @description The cause and what was done. */
                answer: string;
                /** @description Who. */
                by: components["schemas"]["Actor"];
            };
        } | {
            /** @description The rectification, or the reason why none is possible, was verified. */
            closed: {
                /** @description The answer. */
                answer: string;
                /** @description Who. */
                by: components["schemas"]["Actor"];
                /** @description What was verified. */
                verification: string;
            };
        };
        /**
         * @description 层级
         * @enum {string}
         */
        Tier: "region" | "city" | "county";
        /** @description What the derive makes a schema of: it can't say that a decimal in a variant is written as text. */
        Tolerance: {
            /** @description A number as text, by so much at most. */
            number: string;
        } | {
            /** @description A day or a moment, by so many seconds at most, as text. */
            seconds: string;
        } | {
            /**
             * Format: int32
             * @description A clock time, by so many minutes at most.
             */
            minutes: number;
        } | {
            /**
             * Format: int32
             * @description A geographic coordinate, by so many metres at most.
             */
            metres: number;
        } | {
            /** @description A text, by another of its set. */
            texts: string[][];
        };
        /** @description Totals of a delivery. */
        Totals: {
            answer?: components["schemas"]["AnswerDigest"] | null;
            /**
             * Format: int64
             * @description Rows of the answer.
             */
            answer_rows: number;
            /**
             * Format: int64
             * @description Bytes sent.
             */
            bytes: number;
            /**
             * Format: int64
             * @description Chargeable calls: 1, or the size of a batch.
             */
            calls: number;
            /**
             * Format: int64
             * @description Chargeable data sets: 1 for a finished file.
             */
            data_sets: number;
            /** @description The day on whose quota it counts, where the order has a quota per day. */
            day?: string | null;
            /**
             * Format: int64
             * @description Rows of the governed table that left it into the plan.
             */
            rows: number;
        };
        /** @description A trace that was run. */
        Trace: {
            /** @description Who recorded it. */
            by: components["schemas"]["Actor"];
            /** @description What was traced, how, and what came of it. */
            details: components["schemas"]["TraceDetails"];
            /** @description Its id. */
            id: components["schemas"]["TraceId"];
        };
        /** @description What was traced, how, and what came of it. */
        TraceDetails: {
            /** @description The largest probability that anybody innocent is accused, all tests of the case together, as it was asked for: `1e-6`. */
            bound: string;
            /** @description The case, or who asked for it, in the words of who ran it; none where he said nothing. */
            case?: string | null;
            /** @description The versions of products that were compared, as `product@made_from`. */
            compared: string[];
            /** @description By which version of which decoders. */
            decoder_version: string;
            /**
             * @description A digest of the file by which the node knows it again, hexadecimal: keyed by the node, as a file of one row could be guessed from its
             *     SHA-256.
             */
            fragment_digest: string;
            /**
             * Format: int64
             * @description Rows of it.
             */
            fragment_rows: number;
            /**
             * Format: int64
             * @description Position of the journal's last event when the codes were taken that were tested: those that were committed to by then, and no
             *     others. None in records from before they had it.
             */
            journal_position?: number | null;
            /**
             * Format: int64
             * @description Orders whose keys were tested.
             */
            orders_tested: number;
            /**
             * Format: int64
             * @description Recipients whose codes were tested.
             */
            recipients_tested: number;
            /** @description SHA-256 of the canonical JSON of the report, hexadecimal. */
            report_digest: string;
            /**
             * @description SHA-256 of the canonical JSON of the report without the orders of those who are not accused, hexadecimal: of the report as
             *     evidence hands it out. None in records from before they had it.
             */
            shown_report_digest?: string | null;
            /**
             * @description Codes that were tested, product by product, of the marked products that the file comes from: by these numbers the
             *     p-values of evidence are multiplied. Empty in records from before they had it.
             */
            tested?: {
                [key: string]: components["schemas"]["TestedCodes"];
            };
            /**
             * Format: int64
             * @description Traces of the same file that were recorded before: each further one may use a smaller part of the bound.
             */
            tries_before?: number;
        };
        /** @description A trace (溯源) of a leaked file. */
        TraceId: string;
        /** @description A product's column with the source columns it is made of. */
        TracedColumn: {
            /** @description False where it is a source column as it stands. */
            computed: boolean;
            /** @description The source columns. */
            from: components["schemas"]["LineageItem"][];
            /** @description Its name. */
            name: string;
        };
        /** @description A balanced transaction. */
        TransactionView: {
            /** @description When. */
            at: string;
            /** @description Its id. */
            id: string;
            /** @description What for. */
            memo: string;
            /** @description Its lines; of one owner only, when the request says so. */
            postings: components["schemas"]["PostingLine"][];
        };
        /** @description What is due to a treasury and what was paid in. */
        TreasuryPart: {
            /** @description Due, in yuan. */
            due_yuan: string;
            /** @description Paid in, in yuan. */
            paid_yuan: string;
            /** @description The treasury. */
            treasury: components["schemas"]["PartyName"];
        };
        /** @description One account of the trial balance. */
        TrialBalanceLine: {
            /** @description The account. */
            account: components["schemas"]["AccountName"];
            /** @description The balance on the side its kind grows by, in yuan. */
            balance_yuan: string;
            /** @description Sum of credits, in yuan. */
            credit_yuan: string;
            /** @description Sum of debits, in yuan. */
            debit_yuan: string;
        };
        /** @description The trial balance over the transactions of the answer. */
        TrialBalanceView: {
            /** @description Whether they are equal to the fen. */
            balanced: boolean;
            /** @description Sum of all credits, in yuan. */
            credits_yuan: string;
            /** @description Sum of all debits, in yuan. */
            debits_yuan: string;
            /** @description The accounts. */
            lines: components["schemas"]["TrialBalanceLine"][];
        };
        /** @description The newest signed head of the twin log over SM3. */
        TwinCheckpoint: {
            /** @description The whole note, signed with SM2. */
            note: string;
            /** @description The twin's name. */
            origin: string;
            /** @description Root hash of the Merkle tree over SM3, base64. */
            root: string;
            /**
             * Format: int64
             * @description Entries it covers.
             */
            size: number;
            /** @description The key that verifies it, in the form of C2SP signed-note. */
            vkey: string;
        };
        /** @description A price or a ceiling: yuan with up to six decimals. */
        UnitPrices: {
            /** @description Per call: a verification, a lookup, a query or a page of rows. */
            per_call: string;
            /** @description Per data set: one file. */
            per_data_set: string;
        };
        /**
         * @description Encodings of a text file.
         * @enum {string}
         */
        UploadEncoding: "utf8" | "gb18030" | "utf16_le" | "utf16_be";
        /** @description A delivery that had rows of the person. */
        Use: {
            /** @description When it began, RFC 3339. */
            at: string;
            /** @description Columns of the product that the answer was made of, where that was recorded. */
            columns: string[];
            /** @description Who received it. */
            consumer: string;
            /** @description His name. */
            consumer_name: string;
            /** @description His name in English. */
            consumer_name_en: string;
            /** @description True where the person was counted in a statistic: the answer tells of many at once and of nobody alone. */
            counted_in_statistic: boolean;
            /** @description How. */
            mode: components["schemas"]["Mode"];
            /** @description True where there are more of them than are listed. */
            more_records: boolean;
            /** @description True where the rows are named by digests of their keys, of live data: the person is told by his own key's. */
            named_by_key: boolean;
            /** @description REAL or SYNTHETIC. */
            nature: components["schemas"]["Nature"];
            /** @description Under which order. */
            order: string;
            /** @description The permits that the product stands on. */
            permits: components["schemas"]["PermitOfUse"][];
            /** @description What was delivered. */
            product: string;
            /** @description Its name. */
            product_name: string;
            /** @description Its name in English. */
            product_name_en: string;
            /** @description By which protocol. */
            protocol: string;
            /** @description What for. */
            purpose: string;
            /** @description The receipt. */
            receipt: string;
            /** @description The records that say so. */
            records: components["schemas"]["CheckedRecord"][];
            /**
             * Format: int64
             * @description Rows of the person that left the product for the answer.
             */
            rows: number;
            /** @description Versions of the snapshots, as `resource@version`. */
            snapshots: string[];
        };
        /** @description A user; login name, display name and password stand outside the journal. */
        User: {
            /** @description Whether he may act no more. */
            disabled: boolean;
            /** @description His posts. */
            duties: components["schemas"]["Duty"][];
            /** @description Its id. */
            id: components["schemas"]["UserId"];
            /** @description The party he acts for. */
            party: components["schemas"]["PartyId"];
        };
        /** @description A user to add. */
        UserForm: {
            /** @description His name; it is kept sealed. */
            display_name: string;
            /** @description His posts. */
            duties: components["schemas"]["Duty"][];
            /** @description What he types to sign in: 2 to 64 of a-z, 0-9, `.`, `_` and `-`. */
            login: string;
            /** @description The party he acts for. */
            party: components["schemas"]["PartyId"];
            /** @description His first password, at least 12 characters. */
            password: string;
        };
        /** @description A user who acts for a party. */
        UserId: string;
        /** @description A page of uses. */
        UsesPage: {
            /** @description Newest first. */
            items: components["schemas"]["Use"][];
            /** @description Where the next page begins; absent after the last. */
            next_cursor?: string | null;
            /** @description Products whose deliveries the node can't tie to persons: they may have had rows of the person, and are not listed. */
            not_tied: string[];
            /**
             * Format: int64
             * @description Records from before the node recorded what it takes to tie them to persons.
             */
            not_tied_records: number;
            /**
             * @description The proof of each log entry that the records name, as a `c2sp.org/tlog-proof@v1` file, by the entry's index. The entry itself
             *     is in the public log, at `/log/tile/entries/…`. An entry that the published checkpoint does not have yet is absent.
             */
            proofs: {
                [key: string]: string;
            };
            /** @description The same in the twin log over SM3, where the node publishes one. */
            twin_proofs: {
                [key: string]: string;
            };
        };
        /** @description A consent that a person withdraws. */
        WithdrawalForm: {
            /** @description The consent, as it was named when it was given. */
            consent: string;
            /** @description What names the person in the data. */
            identity: string;
        };
        /** @description A log that the node witnesses. */
        WitnessedLog: {
            /** @description Whether the configuration still names it. */
            is_watched: boolean;
            /** @description The first line of its checkpoints. */
            origin: string;
            /**
             * Format: int64
             * @description The size of the last checkpoint that this node cosigned; absent before the first.
             */
            size?: number | null;
        };
        /** @description Who cosigns this node's logs, and whose this node cosigns. */
        Witnessing: {
            /** @description Witnesses that this node asks. */
            asked: components["schemas"]["AskedWitness"][];
            /** @description Logs that this node cosigns or has cosigned. */
            watched: components["schemas"]["WitnessedLog"][];
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    give_command: {
        parameters: {
            query?: never;
            header: {
                /** @description 1 to 128 printable characters; the same key and command again answer the first result */
                "Idempotency-Key": string;
                /** @description what the user saw: `stream=version`, several separated by commas; a stream that has moved since is a conflict (409) */
                "If-Match"?: string | null;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Command"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["CommandResult"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    take_consent: {
        parameters: {
            query?: never;
            header: {
                /** @description a new one for each change */
                "Idempotency-Key": string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ConsentForm"];
            };
        };
        responses: {
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["NamedConsent"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    take_consents: {
        parameters: {
            query?: never;
            header: {
                /** @description a new one for each change */
                "Idempotency-Key": string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ConsentsForm"];
            };
        };
        responses: {
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["NamedConsents"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    count_consents: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ConsentCounts"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    take_narrowing: {
        parameters: {
            query?: never;
            header: {
                /** @description a new one for each change */
                "Idempotency-Key": string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["NarrowingForm"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["NamedConsent"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_consents_of_person: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["IdentityForm"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PersonalConsents"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    take_withdrawal: {
        parameters: {
            query?: never;
            header: {
                /** @description a new one for each change */
                "Idempotency-Key": string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["WithdrawalForm"];
            };
        };
        responses: {
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_erasures: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many items: 1 to 200. */
                limit?: number;
                /** @description Only items in this state. */
                state?: string;
                /** @description Only items of this owner. */
                owner?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_Erasure"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_erasure: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description its id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Entry_Erasure"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    inbox: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Inbox"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_ingestions: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many: 1 to 200. */
                limit?: number;
                /** @description Only jobs of this resource, by id. */
                resource?: string;
                /** @description Only jobs in this state. */
                state?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["IngestionPage"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_ingestion: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description its id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Ingestion"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    cancel_ingestion: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description its id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Ingestion"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    ingestion_rejects: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the job's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/x-ndjson": string;
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_journal: {
        parameters: {
            query?: {
                /** @description Oldest first: only events after this position. */
                after?: number;
                /** @description Newest first: only events before this position. */
                before?: number;
                /** @description Newest first instead of oldest first. */
                newest_first?: boolean;
                /** @description At most so many: 1 to 500. */
                limit?: number;
                /** @description Only events of this entity, by id. */
                stream?: string;
                /** @description Only events of this kind, such as `mandate.suspended`, or of this kind of entity, such as `mandate`. */
                kind?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JournalPage"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    ledger: {
        parameters: {
            query?: {
                /** @description Only this settlement; else the newest ones that the viewer may see, at most 50. */
                settlement?: string;
                /** @description Only the books of this party. Whoever sees no more of a settlement than its own part sees its own books alone. */
                owner?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LedgerView"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_lineage_events: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many: deliveries 1 to 200, events 1 to 500. */
                limit?: number;
                /** @description Not before this moment, RFC 3339 with offset. */
                from?: string;
                /** @description Before this moment, RFC 3339 with offset. */
                to?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LineageEventPage"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_order_lineage: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the order's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["OrderLineage"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_product_lineage: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the product's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ProductLineage"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_receipt_lineage: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the receipt's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReceiptLineage"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_deliveries_of_column: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many: deliveries 1 to 200, events 1 to 500. */
                limit?: number;
                /** @description Not before this moment, RFC 3339 with offset. */
                from?: string;
                /** @description Before this moment, RFC 3339 with offset. */
                to?: string;
            };
            header?: never;
            path: {
                /** @description the resource's id */
                id: string;
                /** @description the column */
                column: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["DeliveredPage"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_downstream: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many items: 1 to 200. */
                limit?: number;
            };
            header?: never;
            path: {
                /** @description the resource's id */
                id: string;
                /** @description the column */
                column: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["DownstreamPage"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_mandates: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many items: 1 to 200. */
                limit?: number;
                /** @description Only items in this state. */
                state?: string;
                /** @description Only items of this owner. */
                owner?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_Mandate"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_mandate: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description its id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Entry_Mandate"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    market: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many items: 1 to 200. */
                limit?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Market"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_meters: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many items: 1 to 200. */
                limit?: number;
                /** @description Only items in this state. */
                state?: string;
                /** @description Only items of this owner. */
                owner?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_Meter"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_meter: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description its id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Entry_Meter"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_node: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["NodeView"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_orders: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many items: 1 to 200. */
                limit?: number;
                /** @description Only items in this state. */
                state?: string;
                /** @description Only items of this owner. */
                owner?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_Order"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_order: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description its id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Entry_Order"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    export_evidence: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the order's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/octet-stream": number[];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_journey: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the order's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Journey"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_key_request: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the order's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MarkKeyRequest"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    give_key_shares: {
        parameters: {
            query?: never;
            header: {
                /** @description a new one for each change */
                "Idempotency-Key": string;
            };
            path: {
                /** @description the order's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["MarkKeyShares"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["KeyCommitments"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_order_privacy: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the order's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["OrderPrivacy"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_receipts: {
        parameters: {
            query?: {
                /** @description Only records after this position. */
                after?: number;
                /** @description At most so many: 1 to 500. */
                limit?: number;
            };
            header?: never;
            path: {
                /** @description the order's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReceiptPage"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    issue_service_key: {
        parameters: {
            query?: never;
            header: {
                /** @description a new one for each change */
                "Idempotency-Key": string;
            };
            path: {
                /** @description the order's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ServiceKey"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_parties: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many items: 1 to 200. */
                limit?: number;
                /** @description Only items in this state. */
                state?: string;
                /** @description Only items of this owner. */
                owner?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_Party"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_party: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description its id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Entry_Party"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_permits: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many items: 1 to 200. */
                limit?: number;
                /** @description Only items in this state. */
                state?: string;
                /** @description Only items of this owner. */
                owner?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_Permit"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_permit: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description its id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Entry_Permit"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_permitted_revenues: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many items: 1 to 200. */
                limit?: number;
                /** @description Only items in this state. */
                state?: string;
                /** @description Only items of this owner. */
                owner?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_PermittedRevenue"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_permitted_revenue: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description its id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Entry_PermittedRevenue"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_plans: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many items: 1 to 200. */
                limit?: number;
                /** @description Only items in this state. */
                state?: string;
                /** @description Only items of this owner. */
                owner?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_Plan"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_plan: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description its id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Entry_Plan"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_products: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many items: 1 to 200. */
                limit?: number;
                /** @description Only items in this state. */
                state?: string;
                /** @description Only items of this owner. */
                owner?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_Product"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_product: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description its id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Entry_Product"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_offer: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the product's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Offer"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_quality_reports: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many items: 1 to 200. */
                limit?: number;
                /** @description Only items in this state. */
                state?: string;
                /** @description Only items of this owner. */
                owner?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_QualityReport"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_quality_report: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description its id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Entry_QualityReport"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    query_receipts: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ReceiptQuestion"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReceiptAnswer"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_registrations: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many items: 1 to 200. */
                limit?: number;
                /** @description Only items in this state. */
                state?: string;
                /** @description Only items of this owner. */
                owner?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_Registration"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_registration: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description its id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Entry_Registration"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_resources: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many items: 1 to 200. */
                limit?: number;
                /** @description Only items in this state. */
                state?: string;
                /** @description Only items of this owner. */
                owner?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_Resource"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_resource: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description its id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Entry_Resource"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    begin_ingestion: {
        parameters: {
            query?: {
                /** @description The file's name. Its ending tells the format unless that is said, and `.gz` or `.zst` that a text is compressed. */
                name?: string;
                /** @description The body's format. */
                format?: "csv" | "tsv" | "xlsx" | "json" | "parquet";
                /** @description The separator of a CSV or TSV file, one ASCII character; a comma or a tabulator unless it is said. */
                delimiter?: string;
                /** @description What a CSV or TSV file writes for a missing value, such as `NA`, besides nothing at all. */
                null_token?: string;
                /** @description The encoding of a text file; found out unless it is said, and told with the job. */
                encoding?: "utf8" | "gb18030" | "utf16_le" | "utf16_be";
                /** @description The sheet of a workbook; the first unless it is said. */
                sheet?: string;
                /** @description The row of a sheet that names the columns, from 1; the first with a value unless it is said. */
                header_row?: number;
                /** @description Whether every cell of a merged area has its value; otherwise merged cells are bad values. */
                fill_merged_cells?: boolean;
                /** @description Whether columns that the catalogue entry does not have are left out; otherwise they refuse the file. */
                ignore_extra_columns?: boolean;
                /** @description Rows that may be rejected, up to 100,000; none unless it is said: the first bad row refuses the file. */
                rejects_max?: number;
                /** @description Of a thousand rows at most so many may be rejected. */
                rejects_per_mille?: number;
                /**
                 * @description What the file calls columns that it calls otherwise than by their names: a JSON object from its header to the column. A
                 *     column's meaning in the catalogue entry is known without.
                 */
                headers?: string;
            };
            header?: never;
            path: {
                /** @description the resource's id */
                id: string;
            };
            cookie?: never;
        };
        /** @description the file, at most 2 GiB */
        requestBody: {
            content: {
                "application/octet-stream": number[];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Ingestion"];
                };
            };
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Ingestion"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    declare_live: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the resource's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["LiveSource"];
            };
        };
        responses: {
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Snapshot"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    run_quality: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the resource's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": Record<string, never>;
            };
        };
        responses: {
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["QualityOutcome"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_snapshots: {
        parameters: {
            query?: {
                /** @description Only versions before this one. */
                before?: number;
                /** @description At most so many: 1 to 200. */
                limit?: number;
            };
            header?: never;
            path: {
                /** @description the resource's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SnapshotPage"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    import_snapshot: {
        parameters: {
            query?: {
                /** @description The file's name. Its ending tells the format unless that is said, and `.gz` or `.zst` that a text is compressed. */
                name?: string;
                /** @description The body's format. */
                format?: "csv" | "tsv" | "xlsx" | "json" | "parquet";
                /** @description The separator of a CSV or TSV file, one ASCII character; a comma or a tabulator unless it is said. */
                delimiter?: string;
                /** @description What a CSV or TSV file writes for a missing value, such as `NA`, besides nothing at all. */
                null_token?: string;
                /** @description The encoding of a text file; found out unless it is said, and told with the job. */
                encoding?: "utf8" | "gb18030" | "utf16_le" | "utf16_be";
                /** @description The sheet of a workbook; the first unless it is said. */
                sheet?: string;
                /** @description The row of a sheet that names the columns, from 1; the first with a value unless it is said. */
                header_row?: number;
                /** @description Whether every cell of a merged area has its value; otherwise merged cells are bad values. */
                fill_merged_cells?: boolean;
                /** @description Whether columns that the catalogue entry does not have are left out; otherwise they refuse the file. */
                ignore_extra_columns?: boolean;
                /** @description Rows that may be rejected, up to 100,000; none unless it is said: the first bad row refuses the file. */
                rejects_max?: number;
                /** @description Of a thousand rows at most so many may be rejected. */
                rejects_per_mille?: number;
                /**
                 * @description What the file calls columns that it calls otherwise than by their names: a JSON object from its header to the column. A
                 *     column's meaning in the catalogue entry is known without.
                 */
                headers?: string;
            };
            header?: never;
            path: {
                /** @description the resource's id */
                id: string;
            };
            cookie?: never;
        };
        /** @description the file, at most 2 GiB */
        requestBody: {
            content: {
                "application/octet-stream": number[];
            };
        };
        responses: {
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Snapshot"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    begin_table_ingestion: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the resource's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["TableForm"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Ingestion"];
                };
            };
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Ingestion"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_rights: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many items: 1 to 200. */
                limit?: number;
                /** @description Only items in this state. */
                state?: string;
                /** @description Only items of this owner. */
                owner?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_Right"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_right: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description its id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Entry_Right"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    current_session: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Session"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    sign_in: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Credentials"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Session"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    sign_out: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    change_password: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["PasswordForm"];
            };
        };
        responses: {
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_settlements: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many items: 1 to 200. */
                limit?: number;
                /** @description Only items in this state. */
                state?: string;
                /** @description Only items of this owner. */
                owner?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_Settlement"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_settlement: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description its id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Entry_Settlement"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_own_uses: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many: 1 to 100. */
                limit?: number;
            };
            header: {
                /** @description `Bearer` and the person's pass */
                Authorization: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UsesPage"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    give_person_pass: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["IdentityForm"];
            };
        };
        responses: {
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Pass"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_supplies: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many items: 1 to 200. */
                limit?: number;
                /** @description Only items in this state. */
                state?: string;
                /** @description Only items of this owner. */
                owner?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_Supply"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_supply: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description its id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Entry_Supply"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_tickets: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many items: 1 to 200. */
                limit?: number;
                /** @description Only items in this state. */
                state?: string;
                /** @description Only items of this owner. */
                owner?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_Ticket"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_ticket: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description its id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Entry_Ticket"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_traces: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many items: 1 to 200. */
                limit?: number;
                /** @description Only items in this state. */
                state?: string;
                /** @description Only items of this owner. */
                owner?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_Trace"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_trace: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description its id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Entry_Trace"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_users: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many items: 1 to 200. */
                limit?: number;
                /** @description Only items in this state. */
                state?: string;
                /** @description Only items of this owner. */
                owner?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_User"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    add_user: {
        parameters: {
            query?: never;
            header: {
                /** @description a new one for each change */
                "Idempotency-Key": string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["UserForm"];
            };
        };
        responses: {
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AddedUser"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_user: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description its id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Entry_User"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_witnesses: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Witnessing"];
                };
            };
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    public_catalogue: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before. */
                cursor?: string;
                /** @description At most so many items: 1 to 200. */
                limit?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Market"];
                };
            };
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
    public_certificate: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description 登记编码 */
                code: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PublicCertificate"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Problem"];
                };
            };
        };
    };
}
