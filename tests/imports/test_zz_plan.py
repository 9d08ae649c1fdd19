import time, pytest
@pytest.mark.django_db
def test_plan(project, alice, data_dir):
    from feedbackhub.imports.services import import_create, import_run
    from django.db import connection
    from feedbackhub.rating.models import Judgment, JudgmentItem
    from feedbackhub.rating.tally import COMPARED
    n="battles_llmfao_crowd.jsonl"
    with (data_dir/n).open("rb") as f: r=import_create(project=project,by=alice,kind="votes",file=f,filename=n)
    import_run(r.pk)
    judgments = Judgment.objects.filter(project=project, kind__in=COMPARED, counted=True, withdrawn=False, superseded_by=None)
    heads = ("judgment_id", "judgment__category", "judgment__source", "judgment__none_acceptable")
    rows = (JudgmentItem.objects.filter(judgment__in=judgments).order_by("judgment_id", "position").values_list(*heads, "model_id", "tier"))
    sql,params=rows.query.sql_with_params(); print(sql)
    def explain(label):
        with connection.cursor() as c:
            c.execute("SET LOCAL cursor_tuple_fraction=0.1")
            c.execute("EXPLAIN DECLARE x CURSOR FOR "+sql,params)
            print(label); print("\n".join(x[0] for x in c.fetchall()))
            t=time.time(); c.execute("SET LOCAL statement_timeout='60s'")
    explain("before analyze")
    with connection.cursor() as c: 
        t=time.time(); c.execute("ANALYZE rating_judgment, rating_judgmentitem"); print("analyze",time.time()-t)
    explain("after analyze")
    t=time.time(); list(rows.iterator(chunk_size=5000)); print("took",time.time()-t)
