//! Tables whose rows come by several partitions.

use testkit::fixture::{delete, insert, origin, table, truncate};

use crate::world::World;

#[tokio::test]
async fn a_truncate_removes_only_rows_that_came_by_its_partition() {
    let mut world = World::new().await;
    let t = table("t");
    let row = |id, v: &str| insert(&t, origin(1, 0), id, v);
    world.apply_to(0, vec![row(1, "a"), row(2, "a")]).await.unwrap();
    assert_eq!(world.rows("FROM public_t ORDER BY id").await, ["1|a", "2|a"]);
    // Before a second partition shows, its truncate has nothing to remove.
    world.apply_to(1, vec![truncate(&t, origin(1, 0))]).await.unwrap();
    world.apply_to(1, vec![row(3, "b"), row(4, "b")]).await.unwrap();
    let all = "SELECT id, v, _penstock_partition FROM public_t ORDER BY id";
    assert_eq!(world.rows(all).await, ["1|a|0", "2|a|0", "3|b|1", "4|b|1"]);
    world.apply_to(1, vec![truncate(&t, origin(1, 0)), row(5, "c")]).await.unwrap();
    assert_eq!(world.rows(all).await, ["1|a|0", "2|a|0", "5|c|1"]);
    let mut world = world.reopen().await;
    world.apply_to(0, vec![delete(&t, origin(1, 0), 1), row(2, "d")]).await.unwrap();
    assert_eq!(world.rows(all).await, ["2|d|0", "5|c|1"]);
}
