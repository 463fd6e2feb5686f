import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import org.apache.avro.Conversions;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;
import org.springframework.cloud.stream.schema.registry.client.ConfluentSchemaRegistryClient;

/**
 * Spring's client for Confluent's registry, and Avro's own library, against ours: registers and
 * fetches as a producer does, then reads records as a consumer does. Arguments: the registry's URL,
 * and a file with key and value of a record a line, as hex digits. Prints what it read.
 */
public class Clients {
    static final String FIRST = "{\"type\":\"record\",\"name\":\"Order\",\"fields\":"
        + "[{\"name\":\"id\",\"type\":\"long\"}]}";
    static final String SECOND = "{\"type\":\"record\",\"name\":\"Order\",\"fields\":"
        + "[{\"name\":\"id\",\"type\":\"long\"},"
        + "{\"name\":\"note\",\"type\":[\"null\",\"string\"],\"default\":null}]}";
    static final String INCOMPATIBLE = "{\"type\":\"record\",\"name\":\"Order\",\"fields\":"
        + "[{\"name\":\"number\",\"type\":\"long\"}]}";

    static final Map<Integer, Schema> schemas = new HashMap<>();

    public static void main(String[] args) throws Exception {
        var client = new ConfluentSchemaRegistryClient();
        client.setEndpoint(args[0]);
        produce(client);
        for (String line : Files.readAllLines(Path.of(args[1]))) {
            String[] parts = line.split(" ");
            GenericRecord key = read(client, parts[0]);
            GenericRecord value = read(client, parts[1]);
            var after = (GenericRecord) value.get("after");
            var amount = (BigDecimal) after.get("amount");
            System.out.println(key.get("id") + " " + value.get("op") + " " + after.get("id") + " "
                + after.get("note") + " " + amount.toPlainString());
        }
    }

    static void produce(ConfluentSchemaRegistryClient client) {
        var first = client.register("java-value", "avro", FIRST);
        var second = client.register("java-value", "avro", SECOND);
        check(first.getSchemaReference().getVersion() == 1, "the first version");
        check(second.getSchemaReference().getVersion() == 2, "the second version");
        check(first.getId() != second.getId(), "ids differ");
        var again = client.register("java-value", "avro", SECOND);
        check(again.getId() == second.getId(), "the id is the same again");
        check(client.fetch(first.getId()).equals(FIRST), "fetched by id");
        check(client.fetch(second.getSchemaReference()).equals(SECOND), "fetched by version");
        try {
            client.register("java-value", "avro", INCOMPATIBLE);
            throw new AssertionError("an incompatible schema was taken");
        } catch (RuntimeException refusal) {
            check(refusal.getMessage().contains("409"), "refused: " + refusal.getMessage());
        }
        try {
            client.fetch(99_999);
            throw new AssertionError("an unknown id was found");
        } catch (RuntimeException refusal) {
            check(refusal.getClass().getSimpleName().equals("SchemaNotFoundException"),
                "unknown: " + refusal);
        }
    }

    static GenericRecord read(ConfluentSchemaRegistryClient client, String hex) throws Exception {
        ByteBuffer framed = ByteBuffer.wrap(HexFormat.of().parseHex(hex));
        check(framed.get() == 0, "the magic byte");
        Schema schema = schemas.computeIfAbsent(framed.getInt(),
            id -> new Schema.Parser().parse(client.fetch(id)));
        var data = new GenericData();
        data.addLogicalTypeConversion(new Conversions.DecimalConversion());
        var reader = new GenericDatumReader<GenericRecord>(schema, schema, data);
        var bytes = DecoderFactory.get().binaryDecoder(framed.array(), framed.position(),
            framed.remaining(), null);
        GenericRecord record = reader.read(null, bytes);
        check(bytes.isEnd(), "nothing is left");
        return record;
    }

    static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
