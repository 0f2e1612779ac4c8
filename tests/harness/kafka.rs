//! A real Kafka broker.

use std::collections::HashMap;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::place;
use crate::process::{Ending, Process};
use crate::wait::wait_for;

const START: Duration = Duration::from_secs(120);
const REQUEST: Duration = Duration::from_secs(30);

/// A broker with its data, which it keeps when it is stopped or killed and started again.
#[derive(Debug)]
pub struct Kafka {
    process: Process,
    command: Command,
    port: u16,
    secure: Option<Secure>,
    folder: TempDir,
}

/// Ports of a broker that asks who comes.
#[derive(Clone, Copy, Debug)]
pub struct Secure {
    /// TLS, with a certificate of the client's.
    pub ssl: u16,
    /// TLS, with a user.
    pub sasl_ssl: u16,
    /// With a user alone.
    pub sasl_plaintext: u16,
}

impl Kafka {
    /// Starts a broker without topics.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start() -> Self {
        Self::with_partitions(1)
    }

    /// Starts a broker that gives so many partitions to a topic that a client creates by writing to it, as Connect
    /// does.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn with_partitions(partitions: u16) -> Self {
        Self::launched(&[("KAFKA_PARTITIONS", partitions.to_string())], None)
    }

    /// Starts a broker that listens to others by TLS and SASL as well: for those who show a certificate of the authority, and
    /// for the user `engine` with this password, by each mechanism.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn secured(certificates: &Certificates, password: &str) -> Self {
        let [ssl, sasl_ssl, sasl_plaintext] = std::array::from_fn(|_| place::free_port());
        let listeners = [("SSL", ssl), ("SASL_SSL", sasl_ssl), ("SASL_PLAINTEXT", sasl_plaintext)];
        let listeners = listeners.map(|(protocol, port)| format!("{protocol}://127.0.0.1:{port}")).join(",");
        let (both, ca) = (certificates.text("server.both"), certificates.text("ca.pem"));
        let mut properties = format!(
            "ssl.keystore.type=PEM\nssl.keystore.location={both}\nssl.truststore.type=PEM\nssl.truststore.location={ca}\n\
             listener.name.ssl.ssl.client.auth=required\nsasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\n"
        );
        let module = "org.apache.kafka.common.security";
        for listener in ["sasl_ssl", "sasl_plaintext"] {
            let of = format!("listener.name.{listener}");
            properties.push_str(&format!(
                "{of}.plain.sasl.jaas.config={module}.plain.PlainLoginModule required user_engine=\"{password}\";\n\
                 {of}.scram-sha-256.sasl.jaas.config={module}.scram.ScramLoginModule required;\n\
                 {of}.scram-sha-512.sasl.jaas.config={module}.scram.ScramLoginModule required;\n"
            ));
        }
        let scram = ["SCRAM-SHA-256", "SCRAM-SHA-512"];
        let scram = scram.map(|mechanism| format!("{mechanism}=[name=engine,password={password}]")).join("\n");
        let settings = [("KAFKA_LISTENERS", listeners), ("KAFKA_PROPERTIES", properties), ("KAFKA_SCRAM", scram)];
        Self::launched(&settings, Some(Secure { ssl, sasl_ssl, sasl_plaintext }))
    }

    /// Where those are listened to that have to say who they are.
    ///
    /// # Panics
    /// Where nobody has.
    #[must_use]
    pub fn secure(&self) -> Secure {
        self.secure.expect("a broker that was started so")
    }

    fn launched(settings: &[(&str, String)], secure: Option<Secure>) -> Self {
        let _ = place::script("tests/stack/fetch.sh", &["kafka"]);
        let folder = place::folder("kafka");
        let (port, controller_port) = (place::free_port(), place::free_port());
        let mut command = Command::new(place::repository().join("tests/stack/run.sh"));
        command.arg("kafka").env("STACK_DIR", folder.path()).envs(settings.iter().map(|(name, value)| (name, value)));
        command.env("KAFKA_PORT", port.to_string()).env("CONTROLLER_PORT", controller_port.to_string());
        let process = launch(&command, folder.path());
        let mut kafka = Self { process, command, port, secure, folder };
        kafka.wait_until_up();
        kafka
    }

    /// Its address, `HOST:PORT`: the same as long as the value lives.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it in good order.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// Ends it with `SIGKILL`.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on its port, with its data.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart(&mut self) {
        self.process = launch(&self.command, self.folder.path());
        self.wait_until_up();
    }

    fn wait_until_up(&mut self) {
        let port = self.port;
        self.process.wait_until_up(START, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        let consumer: BaseConsumer = self.client().create().expect("consumer");
        wait_for("broker to give its metadata", START, || consumer.fetch_metadata(None, Duration::from_secs(1)));
    }

    /// Settings of a client of this broker.
    #[must_use]
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        // It is known when the broker is down on purpose: no lines of that on the test's output.
        config.set("bootstrap.servers", self.address()).set("log_level", "0");
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("admin client")
    }

    /// Creates a topic and waits until the broker has it.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        self.create_topic_with(name, partitions, &[]);
    }

    /// Creates a topic with settings of its own and waits until the broker has it.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn create_topic_with(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        let admin = self.admin();
        let created = block_on(admin.create_topics(&[topic], &AdminOptions::new())).expect("answer of the broker");
        for result in created {
            result.unwrap_or_else(|(topic, code)| panic!("create topic {topic}: {code}"));
        }
        wait_for("the new topic", REQUEST, || self.partitions(name));
    }

    /// Deletes a topic and waits until the broker has forgotten it.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn delete_topic(&self, name: &str) {
        let admin = self.admin();
        let deleted = block_on(admin.delete_topics(&[name], &AdminOptions::new())).expect("answer of the broker");
        for result in deleted {
            result.unwrap_or_else(|(topic, code)| panic!("delete topic {topic}: {code}"));
        }
        wait_for("the end of the topic", REQUEST, || match self.partitions(name) {
            Err(_) => Ok(()),
            Ok(_) => Err("it is still there"),
        });
    }

    /// The names of all topics, the broker's own included.
    ///
    /// # Panics
    /// When the broker does not answer.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        let consumer: BaseConsumer = self.client().create().expect("consumer");
        let metadata = consumer.fetch_metadata(None, REQUEST).expect("metadata");
        metadata.topics().iter().map(|topic| topic.name().to_owned()).collect()
    }

    fn partitions(&self, topic: &str) -> Result<i32, KafkaError> {
        let consumer: BaseConsumer = self.client().set("allow.auto.create.topics", "false").create()?;
        let metadata = consumer.fetch_metadata(Some(topic), REQUEST)?;
        match metadata.topics().iter().find(|found| found.name() == topic) {
            Some(found) if found.error().is_none() && !found.partitions().is_empty() => {
                Ok(i32::try_from(found.partitions().len()).expect("partitions are numbered in 32 bits"))
            }
            _ => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopic)),
        }
    }

    /// The end of each partition of a topic, in order of the partitions: without transactions, its number of messages.
    ///
    /// # Panics
    /// When the broker does not answer.
    #[must_use]
    pub fn ends(&self, topic: &str) -> Vec<i64> {
        let consumer: BaseConsumer = self.client().create().expect("consumer");
        let partitions = self.partitions(topic).expect("a topic that exists");
        let end = |partition| consumer.fetch_watermarks(topic, partition, REQUEST).expect("watermarks").1;
        (0..partitions).map(end).collect()
    }

    /// The values of all messages of a partition; none: tombstones.
    ///
    /// # Panics
    /// When the broker does not give them.
    #[must_use]
    pub fn read(&self, topic: &str, partition: i32) -> Vec<Option<Vec<u8>>> {
        let consumer: BaseConsumer = self.client().set("group.id", "read").create().expect("consumer");
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
        consumer.assign(&from).expect("an assignment");
        let (_, end) = consumer.fetch_watermarks(topic, partition, REQUEST).expect("watermarks");
        let mut values = Vec::new();
        let mut next = 0;
        while next < end {
            let message = consumer.poll(REQUEST).expect("a message").expect("a message without error");
            next = message.offset() + 1;
            values.push(message.payload().map(<[u8]>::to_vec));
        }
        values
    }

    /// The timestamps of a partition's messages from an offset on, in milliseconds since 1970, by their offsets.
    ///
    /// # Panics
    /// When the broker does not give them.
    #[must_use]
    pub fn timestamps(&self, topic: &str, partition: i32, from: i64) -> HashMap<i64, i64> {
        let consumer: BaseConsumer = self.client().set("group.id", "timestamps").create().expect("consumer");
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(topic, partition, Offset::Offset(from)).expect("an offset");
        consumer.assign(&assignment).expect("an assignment");
        let (_, end) = consumer.fetch_watermarks(topic, partition, REQUEST).expect("watermarks");
        let mut timestamps = HashMap::new();
        let mut next = from;
        while next < end {
            let message = consumer.poll(REQUEST).expect("a message").expect("a message without error");
            next = message.offset() + 1;
            timestamps.insert(message.offset(), message.timestamp().to_millis().expect("a message has its time"));
        }
        timestamps
    }

    /// A producer for many messages: batches, lz4, order kept over retries.
    ///
    /// # Panics
    /// When the settings are wrong.
    #[must_use]
    pub fn producer(&self) -> Messages {
        let mut config = self.client();
        config.set("enable.idempotence", "true").set("compression.type", "lz4");
        config.set("linger.ms", "20").set("queue.buffering.max.kbytes", "262144");
        Messages(config.create().expect("producer"))
    }
}

/// Sends messages. Dropping it loses those that are not flushed.
pub struct Messages(BaseProducer);

impl Messages {
    /// Sends one message to a partition. A value of `None` is a tombstone.
    ///
    /// # Panics
    /// When the client refuses it.
    pub fn send(&self, topic: &str, partition: i32, key: &str, value: Option<&str>) {
        let mut record = BaseRecord::to(topic).partition(partition).key(key);
        record.payload = value;
        while let Err((error, unsent)) = self.0.send(record) {
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "send: {error}");
            self.0.poll(Duration::from_millis(100));
            record = unsent;
        }
        self.0.poll(Duration::ZERO);
    }

    /// Waits until the broker has all of them.
    ///
    /// # Panics
    /// When it has not within two minutes.
    pub fn flush(&self) {
        self.0.flush(Duration::from_secs(120)).expect("broker takes all messages");
    }
}

fn launch(command: &Command, folder: &Path) -> Process {
    Process::start("kafka", command, &folder.join("kafka.log"), Ending::Common)
}

/// Runs one of the client's futures; they need no reactor, only somebody who waits.
fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().expect("runtime").block_on(future)
}
