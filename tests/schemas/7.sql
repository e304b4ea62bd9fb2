-- The schema as version 7 was published.  Never changed: stores in the field look like this.
CREATE TABLE capability (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	printer TEXT NOT NULL, 
	digest BLOB NOT NULL, 
	note TEXT NOT NULL, 
	made_by TEXT NOT NULL, 
	created_at DOUBLE NOT NULL, 
	expires_at DOUBLE NOT NULL, 
	max_jobs BIGINT NOT NULL, 
	max_pages BIGINT NOT NULL, 
	jobs BIGINT NOT NULL, 
	pages BIGINT NOT NULL, 
	revoked_at DOUBLE NOT NULL, 
	revoked_by TEXT NOT NULL
);
CREATE UNIQUE INDEX capability_digest ON capability (digest);
CREATE TABLE event (
	job_id INTEGER NOT NULL, 
	id INTEGER NOT NULL, 
	at DOUBLE NOT NULL, 
	text TEXT NOT NULL, 
	PRIMARY KEY (job_id, id)
)
 WITHOUT ROWID;
CREATE TABLE lease (
	resource TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	role TEXT NOT NULL, 
	token BIGINT NOT NULL, 
	expires DOUBLE NOT NULL, 
	PRIMARY KEY (resource)
);
CREATE TABLE maildrop (
	name TEXT NOT NULL, 
	messages BIGINT NOT NULL, 
	octets BIGINT NOT NULL, 
	last_completed DOUBLE NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE message (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	reverse_path TEXT NOT NULL, 
	client_ip TEXT NOT NULL, 
	helo TEXT NOT NULL, 
	trust TEXT NOT NULL, 
	smtputf8 INTEGER NOT NULL, 
	body TEXT NOT NULL, 
	name TEXT NOT NULL, 
	header_message_id TEXT NOT NULL, 
	documents INTEGER NOT NULL, 
	octets BIGINT NOT NULL, 
	place TEXT NOT NULL, 
	reference TEXT NOT NULL, 
	start BIGINT NOT NULL, 
	received_at DOUBLE NOT NULL, 
	waiting INTEGER NOT NULL, 
	ended_at DOUBLE NOT NULL, 
	login TEXT NOT NULL, 
	answerable INTEGER NOT NULL, 
	pop3_octets BIGINT NOT NULL, 
	envid TEXT NOT NULL, 
	ret TEXT NOT NULL, 
	submitter TEXT NOT NULL, 
	proof TEXT NOT NULL, 
	proved TEXT NOT NULL
);
CREATE INDEX message_ended ON message (place, ended_at) WHERE waiting = 0;
CREATE INDEX message_reference ON message (reference) WHERE reference <> '';
CREATE TABLE meta (
	name TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE occurrence (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	at DOUBLE NOT NULL, 
	occasion TEXT NOT NULL, 
	printer TEXT NOT NULL, 
	job_id BIGINT NOT NULL, 
	reasons TEXT NOT NULL, 
	detail TEXT NOT NULL
);
CREATE TABLE outgoing (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	recipient TEXT NOT NULL, 
	job_id BIGINT NOT NULL, 
	attempts INTEGER NOT NULL, 
	created_at DOUBLE NOT NULL, 
	expires_at DOUBLE NOT NULL, 
	next_attempt_at DOUBLE NOT NULL, 
	owner TEXT NOT NULL, 
	token BIGINT NOT NULL, 
	leased_until DOUBLE NOT NULL, 
	last_error TEXT NOT NULL, 
	octets BLOB NOT NULL
);
CREATE INDEX outgoing_due ON outgoing (next_attempt_at, id);
CREATE TABLE picture (
	sender TEXT NOT NULL, 
	digest BLOB NOT NULL, 
	messages TEXT NOT NULL, 
	last_at DOUBLE NOT NULL, 
	PRIMARY KEY (sender, digest)
)
 WITHOUT ROWID;
CREATE INDEX picture_last ON picture (last_at);
CREATE TABLE printer_state (
	printer TEXT NOT NULL, 
	paused INTEGER NOT NULL, 
	accepting INTEGER NOT NULL, 
	last_poll DOUBLE NOT NULL, 
	state TEXT NOT NULL, 
	state_reasons TEXT NOT NULL, 
	detail TEXT NOT NULL, 
	poll_gap DOUBLE NOT NULL, 
	poll_clear INTEGER NOT NULL, 
	PRIMARY KEY (printer)
);
CREATE TABLE report (
	printer TEXT NOT NULL, 
	asked_at DOUBLE NOT NULL, 
	answered_at DOUBLE NOT NULL, 
	details TEXT NOT NULL, 
	PRIMARY KEY (printer)
);
CREATE TABLE seen (
	digest INTEGER NOT NULL, 
	rest BIGINT NOT NULL, 
	job_id BIGINT NOT NULL, 
	until DOUBLE NOT NULL, 
	PRIMARY KEY (digest)
);
CREATE TABLE usage (
	printer TEXT NOT NULL, 
	sender TEXT NOT NULL, 
	slot BIGINT NOT NULL, 
	jobs BIGINT NOT NULL, 
	octets BIGINT NOT NULL, 
	pages BIGINT NOT NULL, 
	PRIMARY KEY (printer, sender, slot)
)
 WITHOUT ROWID;
CREATE TABLE web_session (
	"key" TEXT NOT NULL, 
	person TEXT NOT NULL, 
	created_at DOUBLE NOT NULL, 
	expires_at DOUBLE NOT NULL, 
	PRIMARY KEY ("key")
);
CREATE TABLE content (
	message_id INTEGER NOT NULL, 
	data BLOB NOT NULL, 
	PRIMARY KEY (message_id), 
	FOREIGN KEY(message_id) REFERENCES message (id)
);
CREATE TABLE job (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	message_id INTEGER NOT NULL, 
	printer TEXT NOT NULL, 
	recipient TEXT NOT NULL, 
	state TEXT NOT NULL, 
	reasons TEXT NOT NULL, 
	pages INTEGER NOT NULL, 
	attempts INTEGER NOT NULL, 
	document INTEGER NOT NULL, 
	delivery_proof TEXT NOT NULL, 
	detail TEXT NOT NULL, 
	received_at DOUBLE NOT NULL, 
	processing_at DOUBLE NOT NULL, 
	sending_at DOUBLE NOT NULL, 
	completed_at DOUBLE NOT NULL, 
	next_attempt_at DOUBLE NOT NULL, 
	holder TEXT NOT NULL, 
	holder_token BIGINT NOT NULL, 
	notify TEXT NOT NULL, 
	orcpt TEXT NOT NULL, 
	capability BIGINT NOT NULL, 
	waived INTEGER NOT NULL, 
	counted INTEGER NOT NULL, 
	release_code TEXT NOT NULL, 
	waits_from DOUBLE NOT NULL, 
	FOREIGN KEY(message_id) REFERENCES message (id)
);
CREATE UNIQUE INDEX job_code ON job (release_code) WHERE release_code <> '';
CREATE INDEX job_ended ON job (printer, id) WHERE completed_at <> 0;
CREATE INDEX job_held ON job (holder) WHERE holder <> '';
CREATE INDEX job_message ON job (message_id);
CREATE INDEX job_unended ON job (printer, id) WHERE completed_at = 0;
CREATE TABLE document (
	job_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	format TEXT NOT NULL, 
	pages INTEGER NOT NULL, 
	fate TEXT NOT NULL, 
	detail TEXT NOT NULL, 
	PRIMARY KEY (job_id, number), 
	FOREIGN KEY(job_id) REFERENCES job (id)
)
 WITHOUT ROWID;
CREATE TABLE entry (
	job_id INTEGER NOT NULL, 
	maildrop TEXT NOT NULL, 
	uid TEXT NOT NULL, 
	size BIGINT NOT NULL, 
	fields BLOB NOT NULL, 
	message_id INTEGER NOT NULL, 
	PRIMARY KEY (job_id), 
	FOREIGN KEY(job_id) REFERENCES job (id), 
	FOREIGN KEY(message_id) REFERENCES message (id)
);
CREATE INDEX entry_maildrop ON entry (maildrop, job_id);
CREATE TABLE part (
	job_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	message_id INTEGER NOT NULL, 
	PRIMARY KEY (job_id, number), 
	FOREIGN KEY(job_id) REFERENCES job (id), 
	FOREIGN KEY(message_id) REFERENCES message (id)
)
 WITHOUT ROWID;
CREATE TABLE progress (
	job_id INTEGER NOT NULL, 
	document BIGINT NOT NULL, 
	octets BIGINT NOT NULL, 
	octets_total BIGINT NOT NULL, 
	pages BIGINT NOT NULL, 
	pages_total BIGINT NOT NULL, 
	pages_before BIGINT NOT NULL, 
	pages_all BIGINT NOT NULL, 
	PRIMARY KEY (job_id), 
	FOREIGN KEY(job_id) REFERENCES job (id)
);
CREATE TABLE split (
	job_id INTEGER NOT NULL, 
	printer TEXT NOT NULL, 
	sender TEXT NOT NULL, 
	part_id TEXT NOT NULL, 
	total INTEGER NOT NULL, 
	octets BIGINT NOT NULL, 
	until DOUBLE NOT NULL, 
	hold TEXT NOT NULL, 
	PRIMARY KEY (job_id), 
	FOREIGN KEY(job_id) REFERENCES job (id)
);
CREATE UNIQUE INDEX split_known ON split (printer, sender, part_id);
CREATE TABLE thumbnail (
	job_id INTEGER NOT NULL, 
	document INTEGER NOT NULL, 
	page INTEGER NOT NULL, 
	png BLOB NOT NULL, 
	PRIMARY KEY (job_id, document, page), 
	FOREIGN KEY(job_id) REFERENCES job (id)
);
