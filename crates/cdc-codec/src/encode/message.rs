//! Logical messages: Debezium's topic `<prefix>.message`.

use bytes::Bytes;
use cdc_model::{Header, Headers, LogicalMessage, Placement, Record, Timestamp, Topic};
use cdc_pipeline::port::{SchemaRegistry, Subject};

use crate::avro::schema::render;
use crate::avro::write as avro;
use crate::config::{CodecConfig, Format};
use crate::connect;
use crate::encode::Scratch;
use crate::encode::layout::{Layout, Wrapping};
use crate::encode::source::{SourcePlan, optional};
use crate::error::Error;
use crate::header;
use crate::json;
use crate::name;

/// Everything about messages that does not change from one to the next.
#[derive(Debug)]
pub(crate) struct MessagePlan {
    topic: Topic,
    layout: Layout,
    key: Wrapping,
    value: Wrapping,
    source: SourcePlan,
    schema_id: Option<Bytes>,
}

impl MessagePlan {
    pub(crate) async fn register<R: SchemaRegistry>(
        config: &CodecConfig,
        registry: &R,
    ) -> Result<Self, Error<R::Error>> {
        let topic = name::topic_part(&format!("{}.message", config.prefix));
        let (key, value) = (connect::message_key(), connect::message());
        let id = register(registry, format!("{topic}-value"), &value).await?;
        let (key, value) = match config.format {
            Format::Avro => {
                let key = register(registry, format!("{topic}-key"), &key).await?;
                (Wrapping::frame(key), Wrapping::frame(id))
            }
            Format::Json => (Wrapping::default(), Wrapping::default()),
            Format::JsonWithSchema => {
                let schema = |schema| Wrapping::schema(&json::schema::render(schema));
                (schema(&key), schema(&value))
            }
        };
        let layout = Layout::of(config.format);
        Ok(Self {
            topic: Topic::new(topic),
            layout,
            key,
            value,
            source: SourcePlan::new(config, layout.is_avro, "", ""),
            schema_id: (!layout.is_avro).then(|| id.to_string().into()),
        })
    }

    pub(super) fn record(
        &self,
        message: &LogicalMessage,
        now: Timestamp,
        scratch: &mut Scratch,
    ) -> Record {
        let out = &mut scratch.out;
        out.extend_from_slice(&self.key.open);
        if self.layout.is_avro {
            out.push(2);
            avro::bytes(out, message.prefix.as_bytes());
        } else {
            out.extend_from_slice(b"{\"prefix\":");
            json::write::string(out, &message.prefix);
            out.push(b'}');
        }
        out.extend_from_slice(self.key.close);
        let key = Some(scratch.take());
        self.push_value(&mut scratch.out, message, now);
        let value = Some(scratch.take());
        let id = self.schema_id.iter();
        let headers: Headers =
            id.map(|id| Header { name: header::SCHEMA_ID.into(), value: id.clone() }).collect();
        let topic = self.topic.clone();
        Record { topic, placement: Placement::ByKey, key, value, headers, id: None }
    }

    fn push_value(&self, out: &mut Vec<u8>, message: &LogicalMessage, now: Timestamp) {
        let millis = now.0.div_euclid(1000);
        out.extend_from_slice(&self.value.open);
        if self.layout.is_avro {
            avro::bytes(out, b"m");
            optional(out, millis);
            self.source.push(out, &message.origin);
            out.extend_from_slice(&[0, 2]);
            avro::bytes(out, message.prefix.as_bytes());
            out.push(2);
            avro::bytes(out, &message.content);
        } else {
            out.extend_from_slice(b"{\"op\":\"m\",\"ts_ms\":");
            json::write::number(out, millis);
            out.extend_from_slice(b",\"source\":");
            self.source.push(out, &message.origin);
            out.extend_from_slice(b",\"transaction\":null,\"message\":{\"prefix\":");
            json::write::string(out, &message.prefix);
            out.extend_from_slice(b",\"content\":");
            json::write::base64(out, &message.content);
            out.extend_from_slice(b"}}");
        }
        out.extend_from_slice(self.value.close);
    }
}

async fn register<R: SchemaRegistry>(
    registry: &R,
    subject: String,
    schema: &connect::Schema,
) -> Result<u32, Error<R::Error>> {
    let subject = Subject::new(subject);
    let registered = registry.register(&subject, &render(schema).to_string()).await;
    registered.map(|id| id.0).map_err(|source| Error::Register { subject, source })
}
