// Events of users, in MongoDB: mongosh mongodb://localhost:27017/commerce?directConnection=true examples/commerce/changes.js
// Five hundred that are new, and some of them updated and deleted, as applications do.
const types = ["page_view", "Page_View", "add_to_cart", "search", " search", "purchase", "login", "LOGIN"];
const pick = (list) => list[Math.floor(Math.random() * list.length)];
const events = db.getCollection("events");

for (let n = 0; n < 500; n++) {
  const { insertedId } = events.insertOne({
    user_id: Math.random() < 0.05 ? null : Long(1 + Math.floor(Math.random() * 20)),
    event_type: pick(types),
    timestamp: new Date(Date.now() - Math.floor(Math.random() * 3 * 86400000)),
    metadata: { page: pick(["/", "/cart", "/products/17"]), ms: Int32(Math.floor(Math.random() * 5000)), tags: ["a", "b"] },
  });
  const chance = Math.random();
  if (chance < 0.12) events.updateOne({ _id: insertedId }, { $set: { "metadata.ms": Int32(0) } });
  else if (chance < 0.18) events.deleteOne({ _id: insertedId });
}
// Of these no event can be made: they become dead letters.
events.insertOne({ user_id: Long(1), timestamp: new Date() });
events.insertOne({ user_id: "nobody", event_type: "login", timestamp: new Date() });
