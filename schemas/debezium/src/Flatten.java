// Flatten.java: what ExtractNewDocumentState itself makes of a document's changes, as mongo-flattened.jsonl has it. No server is asked: the
// envelopes are made here, as the MongoDB connector makes them (change_streams_update_full). Prints key, tab, value. Run with
// Debezium's MongoDB connector and Kafka Connect on the class path (tests/stack/fetch.sh kafka mongodb):
//   java -cp "$LIB/plugins/debezium-mongodb/*:$LIB/kafka/*" Flatten.java
import io.debezium.connector.mongodb.transforms.ExtractNewDocumentState;
import java.util.*;
import org.apache.kafka.connect.data.*;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.source.SourceRecord;

public class Flatten {
  static final Schema SOURCE = SchemaBuilder.struct().name("io.debezium.connector.mongo.Source").field("ts_ms", Schema.INT64_SCHEMA).build();
  static final Schema UPDATE = SchemaBuilder.struct().optional().name("io.debezium.connector.mongodb.changestream.updatedescription")
      .field("removedFields", SchemaBuilder.array(Schema.STRING_SCHEMA).optional().build()).field("updatedFields", Schema.OPTIONAL_STRING_SCHEMA).build();
  static final Schema VALUE = SchemaBuilder.struct().name("mongo.commerce.events.Envelope").field("before", Schema.OPTIONAL_STRING_SCHEMA)
      .field("after", Schema.OPTIONAL_STRING_SCHEMA).field("updateDescription", UPDATE).field("source", SOURCE).field("op", Schema.OPTIONAL_STRING_SCHEMA).field("ts_ms", Schema.OPTIONAL_INT64_SCHEMA).build();
  static final Schema KEY = SchemaBuilder.struct().name("mongo.commerce.events.Key").field("id", Schema.STRING_SCHEMA).build();

  public static void main(String[] a) throws Exception {
    var smt = new ExtractNewDocumentState<SourceRecord>();
    smt.configure(Map.of("add.fields", "op,ts_ms,source.ts_ms", "delete.tombstone.handling.mode", "rewrite", "delete.tombstone.handling.mode.rewrite-with-id", "true"));
    var json = new JsonConverter(); json.configure(Map.of("schemas.enable", "false"), false);
    String id = "{\"$oid\": \"6774858000000000070000ff\"}";
    String doc = "{\"_id\": " + id + ", \"user_id\": {\"$numberLong\": \"17\"}, \"event_type\": \"login\", \"timestamp\": {\"$date\": 1735689600001}, \"metadata\": {\"page\": \"/\", \"ms\": 12, \"device\": {\"os\": \"ios\", \"tablet\": false}, \"tags\": [\"a\", \"b\"]}}";
    String anonymous = "{\"_id\": " + id + ", \"user_id\": null, \"event_type\": \"login\", \"timestamp\": \"2025-01-01T00:00:00.001Z\"}";
    String[][] changes = {{"r", doc, null}, {"c", doc, null}, {"u", doc, "{\"metadata.ms\": 12}"}, {"c", anonymous, null}, {"d", null, null}, {"tomb", null, null}};
    long now = 1795237200123L;
    for (int n = 0; n < changes.length; n++) {
      var c = changes[n];
      Struct v = null;
      if (!c[0].equals("tomb")) {
        v = new Struct(VALUE).put("after", c[1]).put("op", c[0]).put("ts_ms", now).put("source", new Struct(SOURCE).put("ts_ms", now / 1000 * 1000));
        if (c[2] != null) v.put("updateDescription", new Struct(UPDATE).put("updatedFields", c[2]));
      }
      var r = new SourceRecord(Map.of(), Map.of(), "mongo.commerce.events", KEY, new Struct(KEY).put("id", id), v == null ? null : VALUE, v);
      var out = smt.apply(r);
      if (out == null) { System.out.println(c[0] + " -> dropped"); continue; }
      System.out.println(new String(json.fromConnectData("t", out.keySchema(), out.key())) + "\t" + (out.value() == null ? "null" : new String(json.fromConnectData("t", out.valueSchema(), out.value()))));
    }
  }
}
